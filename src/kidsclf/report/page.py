"""The page: sections put into one HTML file that needs nothing else.

Its script is part of the file, and the only one that the file's own policy lets run.

The template escapes every text, because names of sources, networks and steps come from data;
only the drawings, whose texts matplotlib has escaped, go in as they are.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kidsclf.report.blocks import Section, sketches
from kidsclf.report.palette import VARIABLES
from kidsclf.report.sections import all_sections
from kidsclf.report.sketches import Draw, draw_here
from kidsclf.report.tables import ReportTables


def render_page(tables: ReportTables, draw: Draw = draw_here) -> str:
    """Render the report of a run as one self-contained HTML page.

    Parameters
    ----------
    tables : ReportTables
        What the run reduced; what is missing is said on the page.
    draw : callable
        What draws the figures.

    Returns
    -------
    str
        HTML without outside references. The same tables give the same text.

    Examples
    --------
    >>> "no network was scored" in render_page(ReportTables())
    True
    """
    name = (tables.summary.get("run") or {}).get("name")
    return render_sections(
        all_sections(tables),
        title=f"{name}: classification report" if name else "Classification report",
        version=tables.versions.get("kidsclf", ""),
        closing="Feng: the multimodal network for KiDS DR5 whose figures this page follows. Every "
        "number stands in metrics/.",
        draw=draw,
    )


def render_sections(
    sections: Sequence[Section],
    *,
    title: str,
    version: str = "",
    closing: str = "",
    draw: Draw = draw_here,
) -> str:
    """Put sections into one self-contained HTML page.

    Parameters
    ----------
    sections : sequence of Section
        In their order; the first is what a reader may skip to.
    title : str
    version : str
        Of kidsclf, for the last line; left out where it is empty.
    closing : str
        What else the last line says.
    draw : callable
        What draws the figures.

    Returns
    -------
    str
        HTML without outside references. The same sections give the same text.
    """
    templates = PackageLoader("kidsclf.report")
    pages = Environment(
        loader=templates,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    todo = [sketch for section in sections for sketch in sketches(section.blocks)]
    drawn = zip((sketch.anchor for sketch in todo), draw(todo), strict=True)
    pages.globals["drawn"] = dict(drawn)
    text = templates.get_source(pages, "page.js")[0]
    return pages.get_template("page.html.j2").render(
        title=title,
        version=version,
        closing=closing,
        sections=sections,
        script=Script(Markup(text), _hash(text)),  # noqa: S704 (a file of this package)
        colours=json.dumps({name: colour for colour, name in VARIABLES.items()}),
    )


@dataclass(frozen=True)
class Script:
    """A script and the hash by which a browser knows that it is the one meant."""

    text: Markup
    hash: str


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
