"""The experiments there are, and what each of them does."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from kidsclf.errors import ConfigError
from kidsclf.experiments import published
from kidsclf.experiments.external import QUASAR
from kidsclf.experiments.quasars import stage_positions
from kidsclf.experiments.scored import (
    OtherQuasars,
    external_tables,
    scored_networks,
    threshold_table,
    unanswered,
)
from kidsclf.experiments.told import (
    told_differences,
    told_external,
    told_rows,
    told_thresholds,
)
from kidsclf.experiments.trained import (
    Compare,
    Rows,
    Trained,
    less_the_first,
    normalised_less_measured,
    normalised_rows,
    require_labels,
    require_shapes,
    shape_rows,
    size_rows,
    table1_rows,
    table2_rows,
    train_all,
)
from kidsclf.models.table import network_entry
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.experiment_origin import origin_path, write_origin
from kidsclf.places import files_below
from kidsclf.report.figures.accuracy import draw_thresholds
from kidsclf.report.figures.experiments import (
    draw_differences,
    draw_external,
    draw_rows,
    draw_sizes,
)
from kidsclf.report.svg import figure_files
from kidsclf.report.tables import select
from kidsclf.store.publish import published_file
from kidsclf.store.tables import write_table, write_text


@dataclass(frozen=True)
class Wish:
    """What a command asks of an experiment beside the configuration.

    Attributes
    ----------
    seeds : int
    networks : tuple of str
        None is those of the experiment.
    quasars : str or None
        Tables of another catalogue of quasars.
    columns : mapping of role to column
        Of those tables.
    """

    seeds: int = 3
    networks: tuple[str, ...] = ()
    quasars: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


POSITIONS = "positions.parquet"
"""Staged positions of another catalogue."""

_OF_SHAPES = (
    "Feng et al. (§5.2): trees fall short of the network for want of morphology; with a stellarity "
    "index they come near to it (Nakoneczny et al. 2021)"
)

Drawn = Mapping[str, bytes]
"""A figure's files by the ends of their names."""


@dataclass(frozen=True)
class Result:
    """What an experiment found: tables and figures by name, and lines to print."""

    tables: Mapping[str, pa.Table]
    figures: Mapping[str, Drawn]
    lines: Sequence[str]


@dataclass(frozen=True)
class Experiment:
    """One experiment of the paper.

    Attributes
    ----------
    name : str
    meaning : str
    needs : str
        The last stage that must have finished.
    run : callable
    """

    name: str
    meaning: str
    needs: Literal["match", "infer"]
    run: Callable[[Context, Wish], Result]


def _trained(
    context: Context,
    wish: Wish,
    *,
    name: str,
    rows: Rows,
    draw: Callable[[Trained], Drawn],
    compare: Compare = lambda _: [],
    heading: Callable[[str], str] = str,
    notes: Sequence[str] = (),
) -> Result:
    require_labels(context)
    found = train_all(context, name, rows(context, wish.networks), wish.seeds, compare)
    tables = {"table": found.table, "seeds": found.seeds}
    lines = told_rows(found.table)
    if found.differences.num_rows:
        tables["differences"] = found.differences
        first = found.differences["less_network"][0].as_py()
        lines += told_differences(found.differences, heading(first))
    figures = {"figure": draw(found)} if found.seeds.num_rows else {}
    return Result(tables, figures, [*lines, *notes])


def _shapes(context: Context, wish: Wish) -> Result:
    require_shapes(context)
    return _trained(
        context,
        wish,
        name="shapes",
        rows=shape_rows,
        draw=_rows_figure,
        compare=less_the_first,
        heading=_shapes_heading,
        notes=[_OF_SHAPES],
    )


def _shapes_heading(first: str) -> str:
    """Say from which row the others are subtracted; the first of trees are on photometry.

    >>> _shapes_heading("mnn")
    'seed by seed, judged by the same sources, less mnn:'
    """
    inputs = " on photometry" if network_entry(first).family == "xgboost" else ""
    return f"seed by seed, judged by the same sources, less {first}{inputs}:"


def _table2_notes() -> list[str]:
    return [
        f"row {number} of Feng's Table 2: {row.remark}"
        for number, row in enumerate(published.table2(), start=1)
        if row.remark
    ]


def _thresholds(context: Context, wish: Wish) -> Result:
    table = threshold_table(context, scored_networks(context, wish.networks))
    if not table.num_rows:
        sample = context.config.train.sample
        return Result(
            {"table": table}, {}, [f"no answer, for no test source of {sample!r} was scored"]
        )
    figures = {
        f"figure-{name}": figure_files(draw_thresholds(select(table, {"network": name})))
        for name in table["network"].unique().to_pylist()
    }
    return Result({"table": table}, figures, told_thresholds(table))


def _external(context: Context, wish: Wish) -> Result:
    if wish.quasars is not None:
        _require_quasars(context.config.train.classes)
    networks = scored_networks(context, wish.networks)
    other, notes = None, []
    if wish.quasars is not None:
        path = context.work.experiment("external") / POSITIONS
        rows, made_from = stage_positions(wish.quasars, wish.columns, context.config.store, path)
        other = OtherQuasars("other quasars", path, made_from)
        notes.append(
            f"other quasars: {rows:,} positions of {wish.quasars}, matched within 1 arcsec; "
            "sources that taught the network are left out"
        )
    found = external_tables(context, networks, other)
    notes += [
        f"{name}: sources of the training sample are not taken out of it; name it in "
        f"samples.{name}.exclude"
        for name, sample in context.config.samples.items()
        if name != context.config.train.sample and context.config.train.sample not in sample.exclude
    ]
    tables = {
        "table": found.shares, "redshifts": found.redshifts, "agreement": found.agreement
    }  # fmt: skip
    figures = {
        f"figure-{name}": figure_files(draw_external(found.redshifts, found.agreement, name))
        for name in found.shares["network"].unique().to_pylist()
    }
    lines = told_external(found.shares, found.agreement, unanswered(context, found.shares), notes)
    return Result(tables, figures, lines)


def _require_quasars(classes: Sequence[str]) -> None:
    if QUASAR not in classes:
        raise ConfigError(
            f"--quasars asks which sources of another catalogue are called {QUASAR}, but "
            f"train.classes holds {', '.join(classes)} alone; leave --quasars out, or train a run "
            f"with the class {QUASAR}"
        )


def _rows_figure(found: Trained) -> Drawn:
    return figure_files(draw_rows(found.table))


def _sizes_figure(found: Trained) -> Drawn:
    return figure_files(draw_sizes(found.table))


def _differences_figure(found: Trained) -> Drawn:
    return figure_files(draw_differences(found.differences))


EXPERIMENTS = (
    Experiment(
        "table1",
        "the networks side by side (Feng, Table 1)",
        "match",
        partial(
            _trained,
            name="table1",
            rows=table1_rows,
            draw=_rows_figure,
            compare=less_the_first,
            heading="seed by seed, judged by the same sources, less {}:".format,
        ),
    ),
    Experiment(
        "table2",
        "trained in one range of magnitudes, judged in another (Feng, Table 2)",
        "match",
        partial(
            _trained, name="table2", rows=table2_rows, draw=_rows_figure, notes=_table2_notes()
        ),
    ),
    Experiment(
        "training_size",
        "how scores grow with the training sample (Feng, Figure 13)",
        "match",
        partial(_trained, name="training_size", rows=size_rows, draw=_sizes_figure),
    ),
    Experiment(
        "normalised_images",
        "what stamps tell without their fluxes (Feng, section 5.1)",
        "match",
        partial(
            _trained,
            name="normalised_images",
            rows=normalised_rows,
            draw=_differences_figure,
            compare=normalised_less_measured,
            heading=lambda _: (
                "normalised stamps less stamps as measured; Feng: a negligible effect (§5.1)"
            ),
        ),
    ),
    Experiment("shapes", "what shapes tell trees (Feng, section 5.2)", "match", _shapes),
    Experiment(
        "thresholds", "what a threshold keeps (Feng, Figures 3 and 12)", "infer", _thresholds
    ),
    Experiment(
        "external", "stars, galaxies, quasars of others (Feng, section 4.1.2)", "infer", _external
    ),
)


def experiment(name: str) -> Experiment:
    """Find an experiment by its name.

    Raises
    ------
    ConfigError
        If there is none, with the nearest name.

    Examples
    --------
    >>> experiment("table2").needs
    'match'
    """
    known = {each.name: each for each in EXPERIMENTS}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "name one of those"
    raise ConfigError(
        f"the experiment {name!r} was asked for, but there are {', '.join(known)}; {hint}"
    )


def write_result(context: Context, done: Experiment, result: Result) -> None:
    """Write tables as Parquet, figures as SVG and PNG, the lines that are printed, the origin.

    Tables and figures of an earlier command that this one did not make are removed.
    """
    folder, origin = context.work.experiment(done.name), origin_path(context, done.name)
    origin.unlink(missing_ok=True)  # until all is written, the page takes it for another's
    kept = {folder / f"{each}.parquet" for each in result.tables} | {folder / "table.txt"}
    for table_name, table in result.tables.items():
        write_table(folder / f"{table_name}.parquet", table)
    for figure_name, files in result.figures.items():
        for form, content in files.items():
            kept.add(folder / f"{figure_name}.{form}")
            with published_file(folder / f"{figure_name}.{form}") as temporary:
                temporary.write_bytes(content)
    write_text(folder / "table.txt", "\n".join([*result.lines, ""]))
    for path in files_below(folder):
        if path.parent == folder and path not in kept and path.name != POSITIONS:
            path.unlink()
    shapes, scored = done.name == "shapes", done.needs == "infer"
    write_origin(
        context, done.name, _answered(result.tables["table"]), scored=scored, shapes=shapes
    )


def _answered(table: pa.Table) -> list[str]:
    """Name the networks of a table, of trainings those that have answers."""
    if "seeds" in table.column_names:
        table = table.filter(pc.greater(table["seeds"], 0))
    return sorted(table["network"].unique().to_pylist())
