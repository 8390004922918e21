"""What stands beside the catalogue for its readers: README.txt and CITATION.txt."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

import numpy as np

from kidsclf import __version__
from kidsclf.models.files import Card, read_card
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.product_trust import known_number, named_cuts
from kidsclf.pipeline.products import product_band, product_network
from kidsclf.pipeline.summary import cut_flow, versions
from kidsclf.schema import ScoreFlag, calibrated_column
from kidsclf.store.records import RecordColumn
from kidsclf.store.tables import write_text

README = "README.txt"
CITATION = "CITATION.txt"
_WIDTH = 96

_FLAGS = {
    ScoreFlag.EXTRAPOLATED: "fainter than the labels reach, or brighter than nearly all of them",
    ScoreFlag.CUTOUT_EDGE: "part of the image lies off its tile",
    ScoreFlag.CUTOUT_MASKED: "the survey's mask is set near the centre of the image",
    ScoreFlag.CUTOUT_MISSING: "no image; networks of images give no class",
    ScoreFlag.CUTOUT_BAD_PIXEL: "pixels of the image without data were filled with 0",
    ScoreFlag.MISSING_BAND: "at least one magnitude that the network reads is missing",
    ScoreFlag.TRAINED_ON: "in the training or validation sample of the network",
    ScoreFlag.UNCLASSIFIED: "the network gave no class",
    ScoreFlag.NOVEL: "photometry unlike that of the training sample: novelty is near 1",
}


def write_words(
    context: Context, columns: Sequence[RecordColumn], files: Mapping[str, int]
) -> None:
    """Publish what a reader of the catalogue has to know; nothing depends on when or where.

    Parameters
    ----------
    context : Context
    columns : sequence of RecordColumn
        Of the catalogue.
    files : mapping of name to rows
        Those written beside the HATS catalogue.
    """
    parts = [
        _heading(context),
        _section("Files", _files(files)),
        _section("Columns", _columns(columns)),
        _section("Bits of flags", _flags()),
        _section("Selection: rows in, cut, left", _cut_flow(context)),
        _section("Networks", _networks(context)),
        _section("Thresholds", _thresholds(context)),
        _section("Software", (f"{name} {version}" for name, version in versions().items())),
    ]
    write_text(context.work.products / README, "\n".join(parts))
    write_text(context.work.products / CITATION, "\n".join(_citation(context)) + "\n")


def _heading(context: Context) -> str:
    classes = ", ".join(context.config.train.classes)
    text = (
        f"A catalogue of sources of {context.survey.name}, each with a class ({classes}) and its "
        f"probabilities by the network {product_network(context)}. Magnitudes are AB, of the band "
        f"{product_band(context)}; positions are ICRS, in degrees. Rows stand in the order of the "
        f"sky (NESTED HEALPix)."
    )
    title = context.config.run.title
    return "\n".join([title, "=" * len(title), "", *wrap(text, _WIDTH), ""])


def _section(title: str, lines: Iterator[str]) -> str:
    return "\n".join([title, "-" * len(title), *lines, ""])


def _files(files: Mapping[str, int]) -> Iterator[str]:
    yield "catalog/            HATS: Parquet files by HEALPix pixel, for LSDB and Parquet readers"
    for name, rows in files.items():
        yield f"{name:<19} {rows:,} rows"
    yield "coverage.moc.fits   the HEALPix pixels that hold sources, as a MOC"
    yield "columns.json        the columns below, for programs"
    yield "CITATION.txt        what to cite"


def _columns(columns: Sequence[RecordColumn]) -> Iterator[str]:
    yield "name in Parquet and HATS; in FITS and VOTable where it differs; unit; meaning"
    width = max(len(column.name) for column in columns)
    for column in columns:
        other = column.fits_name if column.fits_name != column.name else ""
        other = other if column.form else "(not there)"
        yield f"{column.name:<{width}}  {other:<11}  {column.unit:<5}  {column.meaning}"


def _flags() -> Iterator[str]:
    for flag in ScoreFlag:
        yield f"{flag.value:>5}  {flag.name:<17} {_FLAGS.get(flag, '')}".rstrip()


def _cut_flow(context: Context) -> Iterator[str]:
    for step in cut_flow(context):
        cut = step.cut
        yield (
            f"{step.table:<10} {cut.rows_in:>13,} {cut.rows_cut:>13,} {cut.rows_out:>13,}  "
            f"{cut.step}: {cut.reason}"
        )


def _networks(context: Context) -> Iterator[str]:
    train = context.config.train
    preset = context.config.samples[train.sample].preset if context.samples else "none"
    for name in train.networks:
        card = read_card(context.work.model(name))
        where = (
            "in another run" if train.pretrained is not None else f"on {train.sample} ({preset})"
        )
        yield f"{name}: {card.paper}"
        yield f"    trained {where}, {_learnt(card)}"
    yield f"The classes of the catalogue are those of {product_network(context)}."


def _learnt(card: Card) -> str:
    rows = (f"{int(card.scores.get(f'{part}_rows', 0)):,}" for part in ("train", "validation"))
    return f"{next(rows)} sources taught it and {next(rows)} chose the epoch"


def _thresholds(context: Context) -> Iterator[str]:
    """Tell the calibrated probability to cut at for a purity or a completeness of each class."""
    judged = named_cuts(context)
    if judged.empty:
        yield "No labels judge the network of the catalogue."
        return
    yield f"judged by labels of {context.config.train.sample} that the network has not learnt from"
    yield f"{'class':<10}{'wanted':<20}{'keep':<38}{'68 % bounds':<20}purity  completeness"
    for _, row in judged.iterrows():
        wanted = f"{row['wanted']} {row['value']:.0%}"
        if np.isnan(row["threshold"]):
            yield f"{row['class']:<10}{wanted:<20}not reached"
            continue
        keep = f"{calibrated_column(row['class'])} >= {row['threshold']:.6g}"
        bounds = f"{known_number(row['threshold_low'])} to {known_number(row['threshold_high'])}"
        found = f"{row['purity']:<8.1%}{row['completeness']:.1%}"
        yield f"{row['class']:<10}{wanted:<20}{keep:<38}{bounds:<20}{found}"


def _citation(context: Context) -> Iterator[str]:
    card = read_card(context.work.model(product_network(context)))
    yield "If you use this catalogue, please cite"
    yield ""
    yield f"the survey:   {context.survey.source or context.survey.name}"
    for name, sample in context.samples.items():
        yield f"the labels:   {sample.source or sample.name} ({name})"
    yield f"the network:  {card.paper}"
    yield f"the software: kidsclf {__version__}, run {context.config.run.title!r}"
