"""Figures as inline SVG that follows the colours and letters of the page around, and as files.

Inline, because the page must be one file; as vectors with text left as text, because it must be
sharp in print, searchable and small.
"""

import base64
import re
from io import BytesIO, StringIO

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from PIL import Image

from kidsclf.report.palette import VARIABLES, house_style

_BEFORE_SVG = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_GLOBAL_STYLE = re.compile(r"<style[^>]*>.*?</style>", re.DOTALL)
_SIZE = re.compile(r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"', re.DOTALL)
_SIZE_OTHER = re.compile(r'(<svg[^>]*?) width="[^"]*"([^>]*?) height="[^"]*"', re.DOTALL)
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^)"]+)')
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FONT = re.compile(r"(font: (?:\w+ )*?[\d.]+px) [^;\"]+")
_FAMILY = re.compile(r" font-family: '[^']*', sans-serif;")
_PLACE = re.compile(r' (?:[xy]="|transform="rotate)[^"]*"')
_PNG = re.compile(r"image/png;base64,\s*([A-Za-z0-9+/=\s]+)")
_OPAQUE = 255
_NUMBER = re.compile(r"(-?\d+\.\d{2})\d+")
_PATH = re.compile(r' d="([^"]*)"')
_STEP = re.compile(r"\s*([A-Za-z])\s*")
_NO_TURN = re.compile(r' transform="rotate\(-?0 [^"]*\)"')
_STYLE = re.compile(r' style="[^"]*"')
_GROUP = re.compile(r"</?g(?: [^>]*)?/?>\n?")
_SPACE = re.compile(r"\n\s*")

_RASTER_DPI = 90
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
    figure.dpi = _RASTER_DPI
    # Not by savefig, which draws a figure with a layout twice: once only to lay it out.
    FigureCanvasSVG(figure).print_svg(page, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return Markup(_adopt(page.getvalue(), identity))  # noqa: S704 (matplotlib escapes its texts)


@house_style
def pdf_base64(figure: Figure) -> str:
    """Write a figure as a PDF page with its letters in it, on white, in base64 for a link.

    Type 42 fonts, as journals ask for, and the cells of maps as vectors. No date, so that the same
    figure gives the same bytes. The figure is to be written as SVG before, which lays it out.
    """
    figure.set_layout_engine("none")
    figure.set_facecolor("white")
    figure.dpi = _RASTER_DPI
    for cells in figure.findobj(PolyCollection):
        cells.set_rasterized(False)
    page = BytesIO()
    about = {"CreationDate": None, "Creator": None, "Producer": None}
    with mpl.rc_context({"pdf.fonttype": 42}):
        FigureCanvasPdf(figure).print_pdf(page, metadata=about)  # type: ignore[no-untyped-call]
    return base64.b64encode(page.getvalue()).decode("ascii")


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
    svg = _with_ids_by_order(svg, identity)
    svg = _FAMILY.sub("", _FONT.sub(r"\1 sans-serif", svg))
    svg = svg.replace("<svg ", '<svg font-family="sans-serif" ', 1)
    svg = _PNG.sub(_with_palette, _PLACE.sub(lambda found: _NUMBER.sub(r"\1", found[0]), svg))
    for colour, name in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = _STYLE.sub(lambda found: found[0].replace(": ", ":").replace("; ", ";"), svg)
    return _without_bare_groups(_SPACE.sub("\n", _PATH.sub(_shorter, svg)))


def _with_ids_by_order(svg: str, identity: str) -> str:
    """Leave out ids that nothing refers to, and number the others as they are first used.

    Those of matplotlib are hashes of places, which a layout gives to the last bit but one.
    """
    used: dict[str, str] = {}
    for found in _REFERENCE.finditer(svg):
        used.setdefault(found[2], f"{identity}-{len(used)}")
    svg = _REFERENCE.sub(lambda found: found[1] + used[found[2]], svg)
    return _ID.sub(lambda found: f' id="{used[found[1]]}"' if found[1] in used else "", svg)


def _without_bare_groups(svg: str) -> str:
    """Leave out groups that say nothing of what they hold: a twentieth of the bytes."""
    kept: list[str] = []
    opened: list[bool] = []
    place = 0
    for found in _GROUP.finditer(svg):
        kept.append(svg[place : found.start()])
        place, tag = found.end(), found[0]
        if tag.startswith("</"):
            said = opened.pop()
        else:
            said = tag.startswith("<g ")
            if not tag.rstrip().endswith("/>"):
                opened.append(said)
        if said:
            kept.append(tag)
    return "".join([*kept, svg[place:]])


def _with_palette(image: re.Match[str]) -> str:
    """Write an embedded picture with at most 256 colours: a third of the bytes of a map."""
    smaller, picture = BytesIO(), Image.open(BytesIO(base64.b64decode(image[1]))).convert("RGBA")
    if picture.getchannel("A").getextrema()[0] == _OPAQUE:
        picture = picture.convert("RGB")
    method = Image.Quantize.FASTOCTREE if picture.mode == "RGBA" else Image.Quantize.MEDIANCUT
    picture.quantize(256, method=method).save(smaller, "png", optimize=True)
    return f"image/png;base64,{base64.b64encode(smaller.getvalue()).decode('ascii')}"


def _shorter(path: re.Match[str]) -> str:
    """Write a path with hundredths of a point and without white space: half of the bytes."""
    steps = _STEP.sub(r"\1", _NUMBER.sub(r"\1", path.group(1)))
    return f' d="{" ".join(steps.split())}"'
