"""One look for every figure: the colour of a class, the tone of an axis, the size of a letter.

Class colours are those of Okabe & Ito (2008, "Color Universal Design"), told apart by the
colour-blind, and given to the classes as Feng's figures do: blue stars, red quasars, green
galaxies. A second sign, the dash of the line, repeats what the colour says.
The tones are the colours of the light theme; `kidsclf.report.svg` replaces each of them by a
variable of the page, so that the same drawing is readable on a dark one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

INK = "#1d2329"
MUTED = "#59636e"
LINE = "#8d97a1"
GRID = "#e3e7eb"
ACCENT = "#2b5c8a"

STAR_BLUE = "#0072b2"
QUASAR_VERMILLION = "#d55e00"
GALAXY_GREEN = "#009e73"
PURPLE = "#cc79a7"
ORANGE = "#e69f00"
SKY_BLUE = "#56b4e9"

VARIABLES: Mapping[str, str] = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    GRID: "grid",
    ACCENT: "accent",
    STAR_BLUE: "star",
    QUASAR_VERMILLION: "quasar",
    GALAXY_GREEN: "galaxy",
    PURPLE: "purple",
    ORANGE: "orange",
    SKY_BLUE: "sky",
}
"""Name of the page's CSS variable that stands for each colour."""

SOLID, DASHED, DOTTED, DASH_DOT = "-", (0, (4, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.5, 1.5))

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "kidsclf",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8,
}
"""Settings of matplotlib under which every figure is drawn.

``text.parse_math`` is off because names come from data, and a dollar sign is no formula there;
``svg.hashsalt`` is set because the same tables must give the same bytes.
"""

house_style = mpl.rc_context(STYLE)
"""Decorator of every function that draws, so that a figure looks the same wherever it is made."""


@dataclass(frozen=True)
class ClassLook:
    """How one class is drawn and called everywhere."""

    label: str
    colour: str
    dash: Any
    marker: str


_KNOWN: Mapping[str, ClassLook] = {
    "star": ClassLook("star", STAR_BLUE, DOTTED, "o"),
    "qso": ClassLook("quasar", QUASAR_VERMILLION, DASHED, "s"),
    "quasar": ClassLook("quasar", QUASAR_VERMILLION, DASHED, "s"),
    "galaxy": ClassLook("galaxy", GALAXY_GREEN, SOLID, "^"),
}
_OTHERS = ((PURPLE, DASH_DOT, "D"), (ORANGE, SOLID, "v"), (SKY_BLUE, DASHED, "P"))


def class_look(name: str) -> ClassLook:
    """Say how a class is drawn; classes that are not of Feng's three share what is left.

    >>> class_look("QSO").label, class_look("QSO").colour
    ('quasar', '#d55e00')
    """
    known = _KNOWN.get(name.casefold())
    if known is not None:
        return known
    # A sum, not hash(): the colour of a class must not change from process to process.
    colour, dash, marker = _OTHERS[sum(name.encode()) % len(_OTHERS)]
    return ClassLook(name or "no class", colour, dash, marker)


def in_order(classes: Sequence[str]) -> list[str]:
    """Sort classes as the papers do: star, quasar, galaxy, then the others by name.

    >>> in_order(["GALAXY", "other", "STAR"])
    ['STAR', 'GALAXY', 'other']
    """
    ranks = list(_KNOWN)
    return sorted(
        dict.fromkeys(classes),
        key=lambda name: (
            ranks.index(name.casefold()) if name.casefold() in ranks else len(ranks),
            name,
        ),
    )
