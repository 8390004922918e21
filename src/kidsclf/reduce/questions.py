"""All that is asked of a scored survey, in one list."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from kidsclf.reduce.area import area
from kidsclf.reduce.block import ScoredBlock, check_classes
from kidsclf.reduce.calibration import calibration
from kidsclf.reduce.classification import classification, confusion
from kidsclf.reduce.colours import colour_colour
from kidsclf.reduce.context import Context
from kidsclf.reduce.corrected import quasar_corrected
from kidsclf.reduce.counts import class_counts, p_max, row_counts
from kidsclf.reduce.distributions import distributions
from kidsclf.reduce.gallery import gallery
from kidsclf.reduce.law import Reduction, State
from kidsclf.reduce.morphology import morphology
from kidsclf.reduce.novelty import novelty_accuracy, novelty_counts
from kidsclf.reduce.prediction_sets import prediction_sets
from kidsclf.reduce.quasar_fields import quasar_fields
from kidsclf.reduce.quasars import quasar_counts
from kidsclf.reduce.reliability import reliability
from kidsclf.reduce.skymap import sky
from kidsclf.reduce.thresholds import thresholds
from kidsclf.reduce.wanted import wanted

QUESTIONS: tuple[Callable[[Context], Reduction], ...] = (
    classification,
    confusion,
    thresholds,
    reliability,
    calibration,
    prediction_sets,
    wanted,
    novelty_accuracy,
    novelty_counts,
    class_counts,
    p_max,
    quasar_counts,
    quasar_fields,
    quasar_corrected,
    distributions,
    colour_colour,
    morphology,
    sky,
    gallery,
    row_counts,
    area,
)


def reductions_for(context: Context) -> tuple[Reduction, ...]:
    """Set up all reductions of a run; their names are those of the tables.

    Their ``local`` raises StoreError for scores of other classes than those asked for.
    """
    asked = [question(context) for question in QUESTIONS]
    return tuple(
        replace(reduction, local=partial(_checked, context=context, local=reduction.local))
        for reduction in asked
    )


def _checked(block: ScoredBlock, context: Context, local: Callable[[ScoredBlock], State]) -> State:
    check_classes(block, context)
    return local(block)
