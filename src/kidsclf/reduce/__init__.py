"""Numbers about a survey that are summed over partitions: pure, and in any order."""

from kidsclf.reduce.block import SampleLabels, ScoredBlock
from kidsclf.reduce.context import Context, context_of
from kidsclf.reduce.law import Reduction, State, from_json, merge_all, to_json, with_network
from kidsclf.reduce.questions import reductions_for
from kidsclf.reduce.summary import (
    CutFlowStep,
    NetworkResult,
    RunFacts,
    build_summary,
    cut_flow_table,
)

__all__ = [
    "Context",
    "CutFlowStep",
    "NetworkResult",
    "Reduction",
    "RunFacts",
    "SampleLabels",
    "ScoredBlock",
    "State",
    "build_summary",
    "context_of",
    "cut_flow_table",
    "from_json",
    "merge_all",
    "reductions_for",
    "to_json",
    "with_network",
]
