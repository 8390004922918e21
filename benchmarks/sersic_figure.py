"""Draw bias and scatter of Sersic fits by signal-to-noise and size, ours beside statmorph's.

python -m benchmarks.sersic_figure benchmarks/results/sersic.json docs/images/sersic-errors.png

Prints the same numbers as a table in Markdown.
"""

import sys
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from benchmarks.record import Record, read_records
from benchmarks.sersic import PARAMETERS, RADII, SIDES, SIGNALS

COLOURS = {"kidsclf": "#0072b2", "statmorph": "#d55e00"}
TITLES = ("index n", "half-light radius", "axis ratio", "flux")


def bins() -> list[tuple[str, str]]:
    """Name the bins of signal-to-noise and of size."""
    return [
        (f"{low:g}-{high:g}", f"{small:g}-{large:g}")
        for low, high in pairwise(SIGNALS)
        for small, large in pairwise(RADII)
    ]


def values_of(record: Record) -> dict[tuple[str, str], float]:
    return {(each.subject, each.quantity): each.median for each in record.measurements}


def draw(record: Record, path: Path) -> None:
    mpl.use("agg")
    found = values_of(record)
    figure, panels = plt.subplots(2, 4, figsize=(11, 5.2), sharex=True, layout="constrained")
    for row, side in enumerate(SIDES):
        for panel, parameter, title in zip(panels[row], PARAMETERS, TITLES, strict=True):
            for shift, subject in ((-0.14, "kidsclf"), (0.14, "statmorph")):
                places = [f"{subject} S/N {signal} r_e {size} {side} px" for signal, size in bins()]
                bias, scatter = (
                    [found.get((place, f"{word} {parameter}"), np.nan) for place in places]
                    for word in ("bias", "scatter")
                )
                panel.errorbar(
                    np.arange(len(places)) + shift, bias, scatter,
                    fmt="o", ms=3.5, lw=1.2, color=COLOURS[subject], label=subject,
                )  # fmt: skip
            panel.axhline(0.0, color="0.6", lw=0.7, zorder=0)
            for edge in (2.5, 5.5):
                panel.axvline(edge, color="0.85", lw=0.7, zorder=0)
            panel.set_title(f"{title}, {side} px", fontsize=9)
            panel.tick_params(labelsize=8)
    for panel in panels[1]:
        panel.set_xticks(range(len(bins())), [size for _, size in bins()], rotation=60, fontsize=7)
        for place, signal in enumerate(dict.fromkeys(signal for signal, _ in bins())):
            panel.text(
                3 * place + 1, -0.42, f"S/N {signal}", ha="center", fontsize=7,
                transform=panel.get_xaxis_transform(),
            )  # fmt: skip
    panels[0, 0].legend(fontsize=8, frameon=False)
    figure.supylabel("ln (found / true): median, and half of 16 to 84 %", fontsize=9)
    figure.supxlabel("half-light radius in seeing discs", fontsize=9)
    figure.savefig(path, dpi=110)


def table(record: Record) -> str:
    """Write bias and scatter of both, and the share with a trusted index, as Markdown."""
    found = values_of(record)
    lines = []
    for side in SIDES:
        for signal, size in bins():
            cells = [str(side), signal, size]
            for parameter in PARAMETERS:
                pair = []
                for subject in COLOURS:
                    place = f"{subject} S/N {signal} r_e {size} {side} px"
                    bias = found.get((place, f"bias {parameter}"), np.nan)
                    scatter = found.get((place, f"scatter {parameter}"), np.nan)
                    pair.append(f"{bias:+.2f} ± {scatter:.2f}")
                cells.append(" / ".join(pair))
            ours, theirs = (
                found.get((f"{subject} S/N {signal} r_e {size} {side} px", "valid sersic_index"), 0)
                for subject in COLOURS
            )
            lines.append(f"| {' | '.join(cells)} | {ours:.2f} / {theirs:.2f} |")
    return "\n".join(lines)


def main() -> None:
    record = next(each for each in read_records(Path(sys.argv[1])) if each.benchmark == "sersic")
    draw(record, Path(sys.argv[2]))
    sys.stdout.write(table(record) + "\n")


if __name__ == "__main__":
    main()
