"""The files of the page: our own, the report's style, and BokehJS as it is installed.

They are named here one by one and read once. A path of a request is a key among them and is never
joined to a folder; nothing is fetched from elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from bokeh.util.paths import bokehjs_path

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_OURS = (
    *("index.html", "explorer.css", "explorer.js", "asking.js", "filters.js", "lists.js"),
    *("projection.js", "sky.js", "source.js", "words.js"),
)
_BOKEH = ("bokeh.min.js", "bokeh-api.min.js")


@dataclass(frozen=True)
class PageFile:
    """What is sent, and as what."""

    content: bytes
    kind: str


def page_files() -> Mapping[str, PageFile]:
    """Read all files of the page, by the path under which they are asked for."""
    ours = files("kidsclf.explorer") / "page"
    found = {f"/{name}": (ours / name).read_bytes() for name in _OURS}
    style = files("kidsclf.report") / "templates" / "page.css"
    found["/page.css"] = style.read_bytes()
    for name in _BOKEH:
        found[f"/{name}"] = (bokehjs_path() / "js" / name).read_bytes()
    found["/"] = found.pop("/index.html")
    return {path: PageFile(content, _kind(path)) for path, content in found.items()}


def _kind(path: str) -> str:
    return _TYPES[f".{path.rpartition('.')[2]}" if "." in path else ".html"]
