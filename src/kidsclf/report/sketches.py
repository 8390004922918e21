"""What is still to be drawn for a page: figures that do not know each other, so in any order.

Sections hold sketches, and whoever makes the page draws them all: here one after the other, or in
as many processes as there are.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from markupsafe import Markup
from matplotlib.figure import Figure

from kidsclf.report.panels import NARROW, WIDE, Layout
from kidsclf.report.svg import inline_svg, pdf_base64

_MATPLOTLIB = threading.Lock()
"""The style of a figure is that of its process, so that a process draws one at a time."""


@dataclass(frozen=True)
class Drawn:
    """A figure as text: for a desk, for a phone and for a paper.

    ``narrow`` is None where one drawing does for both, ``pdf`` where none was asked for.
    """

    wide: Markup
    narrow: Markup | None = None
    pdf: str = ""


class Sketch(Protocol):
    """A figure to be drawn."""

    @property
    def anchor(self) -> str:
        """Its name, of which there is one on a page."""

    def drawn(self) -> Drawn:
        """Draw it."""


Draw = Callable[[Iterable[Sketch]], Iterator[Drawn]]
"""Draws sketches, in their order."""


@dataclass(frozen=True)
class FigureSketch:
    """A figure that is drawn for a desk, for a phone and for a paper."""

    anchor: str
    draw: Callable[[Layout], Figure]
    with_pdf: bool = True

    def drawn(self) -> Drawn:
        """Draw it."""
        # Names within a drawing are repeated with every mark, so that they are short.
        identity = f"f{blake2b(self.anchor.encode(), digest_size=4).hexdigest()}"
        figure = self.draw(WIDE)
        wide = inline_svg(figure, f"{identity}w")
        pdf = pdf_base64(figure) if self.with_pdf else ""
        return Drawn(wide, inline_svg(self.draw(NARROW), f"{identity}n"), pdf)


@dataclass(frozen=True)
class CardSketch:
    """A small figure of one size."""

    anchor: str
    draw: Callable[[], Figure]

    def drawn(self) -> Drawn:
        """Draw it."""
        return Drawn(inline_svg(self.draw(), self.anchor))


def draw_one(sketch: Sketch) -> Drawn:
    """Draw a sketch; an error names it."""
    try:
        with _MATPLOTLIB:
            return sketch.drawn()
    except Exception as error:
        error.add_note(f"while drawing the figure {sketch.anchor} of the page")
        raise


def draw_here(sketches: Iterable[Sketch]) -> Iterator[Drawn]:
    """Draw sketches one after the other in this process."""
    return map(draw_one, sketches)
