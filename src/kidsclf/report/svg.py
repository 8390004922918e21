"""Figures as inline SVG that follows the colours and letters of the page it stands in.

Inline, because the page must be one file; as vectors with text left as text, because it must be
sharp in print, searchable and small.
"""

import re
from io import BytesIO, StringIO

from markupsafe import Markup
from matplotlib.figure import Figure

from kidsclf.report.palette import VARIABLES, house_style

_BEFORE_SVG = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_GLOBAL_STYLE = re.compile(r"<style[^>]*>.*?</style>", re.DOTALL)
_SIZE = re.compile(r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"', re.DOTALL)
_SIZE_OTHER = re.compile(r'(<svg[^>]*?) width="[^"]*"([^>]*?) height="[^"]*"', re.DOTALL)
_ID = re.compile(r'(\bid="|url\(#|href="#)')
_REFERENCE = re.compile(r'(?:url\(|href=")#([^)"]+)')
_UNUSED_ID = re.compile(r' id="([^"]*)"')
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FONT = re.compile(r"(font: (?:\w+ )*?[\d.]+px) [^;\"]+")
_NUMBER = re.compile(r"(-?\d+\.\d{2})\d+")
_PATH = re.compile(r' d="([^"]*)"')
_STEP = re.compile(r"\s*([A-Za-z])\s*")
_NO_TURN = re.compile(r' transform="rotate\(-?0 [^"]*\)"')
_SPACE = re.compile(r"\n\s*")

_RASTER_DPI = 130
"""Sharpness of what is not drawn as vectors: maps of many cells, pixels per inch."""
_FILE_DPI = 150


@house_style
def inline_svg(figure: Figure, identity: str) -> Markup:
    """Write a figure as an ``<svg>`` element.

    Parameters
    ----------
    figure : matplotlib Figure
    identity : str
        Put before every id of the drawing, so that drawings of one page do not share any.

    Returns
    -------
    markupsafe.Markup
        The element, without size (the page gives it one), dates or names of programs.
    """
    page = StringIO()
    figure.savefig(page, format="svg", dpi=_RASTER_DPI, metadata={"Date": None})
    return Markup(_adopt(page.getvalue(), identity))  # noqa: S704 (matplotlib escapes its texts)


@house_style
def figure_files(figure: Figure) -> dict[str, bytes]:
    """Write a figure as files that stand by themselves, on white: ``svg`` and ``png``."""
    files = {}
    for form, nameless in (("svg", "Date"), ("png", "Software")):
        page = BytesIO()
        about = {nameless: None}
        figure.savefig(page, format=form, dpi=_FILE_DPI, facecolor="white", metadata=about)
        files[form] = page.getvalue()
    return files


def _adopt(svg: str, identity: str) -> str:
    svg = _BEFORE_SVG.sub("", svg, count=1)
    for pattern in (_METADATA, _GLOBAL_STYLE, _COMMENT, _NO_TURN):
        svg = pattern.sub("", svg)
    svg = _SIZE_OTHER.sub(r"\1\2", _SIZE.sub(r"\1\2", svg, count=1), count=1)
    used = set(_REFERENCE.findall(svg))
    svg = _UNUSED_ID.sub(lambda found: found.group(0) if found.group(1) in used else "", svg)
    svg = _ID.sub(rf"\g<1>{identity}-", svg)
    svg = _FONT.sub(r"\1 sans-serif", svg)
    for colour, name in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    return _SPACE.sub("\n", _PATH.sub(_shorter, svg))


def _shorter(path: re.Match[str]) -> str:
    """Write a path with hundredths of a point and without white space: half of the bytes."""
    steps = _STEP.sub(r"\1", _NUMBER.sub(r"\1", path.group(1)))
    return f' d="{" ".join(steps.split())}"'
