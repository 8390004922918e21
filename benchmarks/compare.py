"""What changed between two runs of the benchmarks, beyond their own noise."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.record import Kept, Measurement, Ratio, Record

_OF_A_MACHINE = ("cpu", "cores", "memory_gib", "cards")
"""What makes figures of two runs incomparable where it differs."""
_SAME_MEMORY_GIB = 0.5


def print_comparison(old: Kept, new: Kept) -> None:
    """Print what differs between the machines, then the figures that both runs hold."""
    for line in _differences(old.machine, new.machine):
        sys.stdout.write(f"{line}\n")
    print_changes(old.records, new.records)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    apart = [name for name in _OF_A_MACHINE if not _same(old.get(name), new.get(name))]
    if apart:
        yield (
            "ANOTHER MACHINE: speeds, times and memory are not to be compared, only ratios, and "
            "those with care"
        )
        yield from (f"  {name}: {_told(old.get(name))} -> {_told(new.get(name))}" for name in apart)
    before, after = old.get("versions", {}), new.get("versions", {})
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield f"  {name} {before[name]} -> {after[name]}"
    for name in ("date", "commit", "load_1min"):
        if old.get(name) or new.get(name):
            yield f"  {name}: {_told(old.get(name))} -> {_told(new.get(name))}"


def _same(old: object, new: object) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return abs(old - new) <= _SAME_MEMORY_GIB
    return old == new


def _told(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return "not noted" if value is None else str(value)


def print_changes(old: Sequence[Record], new: Sequence[Record]) -> None:
    """Print every figure that both runs hold, and mark those whose ranges do not overlap.

    Of a figure that was taken once there is no range, so it is never marked.
    """
    before = {_key(record, each): each for record in old for each in _figures(record)}
    after = {_key(record, each): each for record in new for each in _figures(record)}
    out = sys.stdout.write
    shared = [key for key in after if key in before]
    for key in shared:
        earlier, each = before[key], after[key]
        change = each.median / earlier.median - 1.0 if earlier.median else float("nan")
        out(
            f"{' '.join(filter(None, key)):<70.70} {earlier.median:>11.4g} -> "
            f"{each.median:>11.4g} {change:>+7.1%} {_verdict(earlier, each)}\n"
        )
    if not shared:
        out("the two files share no figure: they hold other benchmarks, or of another size\n")
    elif len(shared) < max(len(before), len(after)):
        out(
            f"{len(before) - len(shared)} figures of the first file and "
            f"{len(after) - len(shared)} of the second have no counterpart\n"
        )


def _verdict(old: Measurement | Ratio, new: Measurement | Ratio) -> str:
    if min(len(old.values), len(new.values)) < 2:
        return "(once)"
    apart = min(new.values) > max(old.values) or max(new.values) < min(old.values)
    return "CHANGED" if apart else ""


def _figures(record: Record) -> tuple[Measurement | Ratio, ...]:
    return (*record.measurements, *record.ratios)


def _key(record: Record, each: Measurement | Ratio) -> tuple[str, ...]:
    peer = f"over {each.peer}" if isinstance(each, Ratio) else ""
    return record.benchmark, record.size, each.subject, peer, each.quantity
