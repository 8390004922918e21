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
    apart = [name for name in _OF_A_MACHINE if not _same(old.machine, new.machine, name)]
    for line in _differences(old.machine, new.machine, apart):
        sys.stdout.write(f"{line}\n")
    print_changes(old.records, new.records, same_machine=not apart)


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], apart: Sequence[str]
) -> Iterator[str]:
    if apart:
        yield (
            "ANOTHER MACHINE: speeds, times and memory are not to be compared and are not marked; "
            "ratios are, with care"
        )
        yield from (f"  {name}: {_told(old.get(name))} -> {_told(new.get(name))}" for name in apart)
    before, after = old.get("versions", {}), new.get("versions", {})
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield f"  {name} {before[name]} -> {after[name]}"
    for name in ("date", "commit", "load_1min"):
        if old.get(name) or new.get(name):
            yield f"  {name}: {_told(old.get(name))} -> {_told(new.get(name))}"


def _same(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> bool:
    before, after = old.get(name), new.get(name)
    if isinstance(before, float) and isinstance(after, float):
        return abs(before - after) <= _SAME_MEMORY_GIB
    return bool(before == after)


def _told(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return "not noted" if value is None else str(value)


def print_changes(
    old: Sequence[Record], new: Sequence[Record], *, same_machine: bool = True
) -> None:
    """Print every figure that both runs hold, and mark those whose ranges do not overlap.

    Of a figure that was taken once there is no range, so it is never marked; of two machines only
    ratios are.
    """
    before = {_key(record, each): each for record in old for each in _figures(record)}
    after = {_key(record, each): each for record in new for each in _figures(record)}
    out = sys.stdout.write
    shared = [key for key in after if key in before]
    for key in shared:
        earlier, each = before[key], after[key]
        told = _verdict(earlier, each) if same_machine or isinstance(each, Ratio) else ""
        change = each.median / earlier.median - 1.0 if earlier.median else float("nan")
        out(
            f"{' '.join(filter(None, key)):<70.70} {earlier.median:>11.4g} -> "
            f"{each.median:>11.4g} {change:>+7.1%} {told}\n"
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
