"""What changed between two runs of the benchmarks, beyond their own noise."""

import sys
from collections.abc import Sequence

from benchmarks.record import Measurement, Ratio, Record


def print_changes(old: Sequence[Record], new: Sequence[Record]) -> None:
    """Print every figure that both runs hold, and mark those whose ranges do not overlap."""
    before = {_key(record, each): each for record in old for each in _figures(record)}
    out = sys.stdout.write
    for record in new:
        for each in _figures(record):
            earlier = before.get(_key(record, each))
            if earlier is None:
                continue
            apart = min(each.values) > max(earlier.values) or max(each.values) < min(earlier.values)
            change = each.median / earlier.median - 1.0 if earlier.median else float("nan")
            out(
                f"{' '.join(_key(record, each)):<70.70} {earlier.median:>11.4g} -> "
                f"{each.median:>11.4g} {change:>+7.1%} {'CHANGED' if apart else ''}\n"
            )


def _figures(record: Record) -> tuple[Measurement | Ratio, ...]:
    return (*record.measurements, *record.ratios)


def _key(record: Record, each: Measurement | Ratio) -> tuple[str, ...]:
    peer = f"over {each.peer}" if isinstance(each, Ratio) else ""
    return record.benchmark, record.size, each.subject, peer, each.quantity
