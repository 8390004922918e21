"""What is written into documents from the result files that are kept, so that no number is typed.

Not a benchmark. ``python -m benchmarks table`` writes all of it anew; a test holds it to the files.
"""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.catalogue_tables import ingest_by_peer, ingest_by_size, matches
from benchmarks.figures import draw_overview
from benchmarks.headlines import ROOT, goals, kept_results, labelled
from benchmarks.inference_tables import inference
from benchmarks.marked import fill
from benchmarks.readme import speed
from benchmarks.record import Kept
from benchmarks.stage_tables import engine, fits, products, shapes
from benchmarks.table import page
from kidsclf.report.svg import figure_files

FIGURE = ROOT / "docs" / "images" / "speed.svg"
PARTS: Mapping[str, Mapping[str, Callable[[Sequence[Kept]], str]]] = {
    "README.md": {"speed": speed},
    "docs/scale.md": {
        "ingest by size": ingest_by_size,
        "ingest by peer": ingest_by_peer,
        "matches": matches,
        "inference": inference,
    },
    "docs/morphology.md": {"shapes": shapes},
    "docs/sersic.md": {"fits": fits},
    "docs/products.md": {"products": products},
    "docs/running-on-a-cluster.md": {"engine": engine},
}
"""Which documents have parts that are written, between marks of these names."""


def documents(kept: Sequence[Kept]) -> dict[str, str]:
    """Make each document, by its path below the checkout; what is typed stays as it stands."""
    made = {"docs/benchmarks.md": page(kept)}
    for path, parts in PARTS.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        made[path] = fill(text, {name: make(kept) for name, make in parts.items()})
    return made


def figure(kept: Sequence[Kept]) -> bytes:
    """Draw every ratio against its goal, as SVG on white."""
    named = [(label, record) for label, _, record in labelled(kept) if goals(record)]
    return figure_files(draw_overview(named))["svg"]


def write_documents() -> None:
    """Write the documents and the figure of the README."""
    kept = kept_results()
    for path, text in documents(kept).items():
        (ROOT / path).write_text(text, encoding="utf-8")
    FIGURE.write_bytes(figure(kept))
