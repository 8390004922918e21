"""The questions of the page and their answers, as records for JSON; nothing here knows of HTTP."""

from dataclasses import replace
from typing import Any

from kidsclf.errors import ConfigError
from kidsclf.explorer.asked import (
    FILTERS,
    Parameters,
    cone_asked,
    question_asked,
    refuse_unknown,
    source_asked,
    whole_number,
)
from kidsclf.explorer.catalogue import Explored
from kidsclf.explorer.density import Cells, Density, corners
from kidsclf.explorer.detail import Record, class_of, detail, rows_of, source_row, stamp
from kidsclf.explorer.drawing import picture, sed_svg
from kidsclf.explorer.patience import Gone, Patience, nobody_left
from kidsclf.explorer.ranking import LISTS, MOST_LISTED, Ranking
from kidsclf.explorer.sources import listed_columns, sources_in
from kidsclf.explorer.verdicts import VERDICTS, Judged, Verdicts
from kidsclf.pipeline.infer import CLASS, P_MAX
from kidsclf.pipeline.query_partition import Question
from kidsclf.report.palette import VARIABLES, class_look, in_order
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX, ScoreFlag
from kidsclf.sky.cap import cap_of, cap_of_partitions

MOST_SOURCES = 5000
"""Drawn one by one; more are neither told apart nor moved smoothly."""
MOST_AT_ONCE = 100
SECONDS = 1.0
"""After which a question over many partitions answers with what it has found so far."""


class Answers:
    """Answers what a page asks of one run."""

    def __init__(self, explored: Explored, verdicts: Verdicts | None) -> None:
        self._explored = explored
        self._verdicts = verdicts
        self._density = Density(explored)
        self._ranking = Ranking(explored)

    def run(self, given: Parameters, gone: Gone = nobody_left) -> Record:
        """Tell what there is to be seen: classes with their colours, flags, lists, the sky."""
        refuse_unknown(given, ())
        explored = self._explored
        cells = self._density.widest(Patience(SECONDS, gone))
        return {
            "title": explored.config.run.title,
            "band": explored.band,
            "network": explored.network,
            "classes": [_look(name) for name in in_order(explored.classes)],
            "class_order": list(explored.classes),
            "flags": [flag.name for flag in ScoreFlag],
            "lists": self._ranking.names(),
            "columns": explored.meanings,
            "verdicts": list(VERDICTS) if self._verdicts is not None else [],
            "verdict_table": str(explored.work.verdicts),
            "counts": self._verdicts.counts() if self._verdicts is not None else {},
            "rows": cells.total if cells.complete else None,
            "sky": self._reach(cells),
        }

    def view(self, given: Parameters, gone: Gone = nobody_left) -> Record:
        """Show what lies in a circle: sources, or cells where there are too many of them."""
        refuse_unknown(given, ("ra", "dec", "radius", *FILTERS))
        cone, question = cone_asked(given), self._question(given)
        patience = Patience(SECONDS, gone)
        cells = self._density.cells(cone, question, patience)
        record: Record = {
            "kind": "cells",
            "looked_at": cells.looked_at,
            "partitions": cells.partitions,
            "complete": cells.complete,
            "count": cells.total,
        }
        if cells.complete and cells.total <= 2 * MOST_SOURCES:
            found = sources_in(
                self._explored,
                cells.holding,
                replace(question, cone=cone),
                MOST_SOURCES,
                listed_columns(self._explored),
                patience,
            )
            if not found.cut:
                rows = self._judged(rows_of(found.rows))
                return record | {"kind": "sources", "count": len(rows), "sources": rows}
        order, pixels = cells.order, cells.pixels.tolist()
        return record | {
            "order": order,
            "corners": corners(order, pixels, cone.ra),
            "counts": cells.counts.tolist(),
            "classes": [*self._explored.classes, ""],
        }

    def uncertain(self, given: Parameters, gone: Gone = nobody_left) -> Record:
        """Give a stretch of a list of uncertain sources."""
        refuse_unknown(given, ("list", "first", "count", *FILTERS))
        first = whole_number(given, "first", 0, MOST_LISTED, 0)
        count = whole_number(given, "count", 1, MOST_AT_ONCE, 50)
        name, question = given.get("list", "entropy"), self._question(given)
        patience = Patience(SECONDS, gone)
        found = self._ranking.ranked(name, question, first, count, patience)
        return {
            "list": name,
            "column": LISTS[name][0],
            "first": first,
            "listed": found.listed,
            "most": MOST_LISTED,
            "chosen": found.chosen,
            "looked_at": found.looked_at,
            "partitions": found.partitions,
            "complete": found.looked_at == found.partitions,
            "sources": self._judged(rows_of(found.rows)),
        }

    def source(self, given: Parameters) -> Record:
        """Tell all of one source."""
        refuse_unknown(given, ("index", "name"))
        index, name = source_asked(given.get("index"), given.get("name"))
        found = detail(self._explored, index, name)
        verdict = self._verdicts.of(index, name) if self._verdicts is not None else None
        found["neighbours"]["rows"] = self._judged(found["neighbours"]["rows"])
        svg = sed_svg(found["photometry"], class_of(found))
        return found | {"verdict": verdict, "sed": svg}

    def stamp(self, given: Parameters) -> bytes | None:
        """Draw a stamp of one source as PNG; None where it has no image."""
        refuse_unknown(given, ("index", "name", "band"))
        index, name = source_asked(given.get("index"), given.get("name"))
        return picture(stamp(self._explored, index, name, given.get("band", "")))

    def judge(self, given: Any) -> Record:
        """Keep a verdict on a source, or take it back; tell the one before."""
        if self._verdicts is None:
            raise ConfigError(
                "a verdict was given, but this explorer was started with --read-only; start it "
                "without"
            )
        if not isinstance(given, dict) or given.keys() != {"index", "name", "verdict"}:
            raise ConfigError(
                "a verdict was given, but not as a record of index, name and verdict; give these "
                "three"
            )
        index, name = source_asked(given["index"], given["name"])
        source = source_row(self._explored, index, name)
        judged = Judged(
            index,
            name,
            source[RA],
            source[DEC],
            self._explored.network,
            source[CLASS],
            source[P_MAX],
        )
        before = self._verdicts.give(judged, given["verdict"])
        return {"verdict": given["verdict"], "before": before, "counts": self._verdicts.counts()}

    def _reach(self, cells: Cells) -> Record:
        """Give the middle of the survey, and how far from it the furthest may lie, degrees."""
        partitions = self._explored.partitions
        counted = cells.complete
        cap = cap_of(cells.order, cells.pixels) if counted else cap_of_partitions(partitions)
        return dict(zip(("ra", "dec", "reach"), cap, strict=True))

    def _question(self, given: Parameters) -> Question:
        return question_asked(given, self._explored.classes, self._explored.band)

    def _judged(self, rows: list[Record]) -> list[Record]:
        """Put the verdict beside each source that has one."""
        if self._verdicts is not None:
            for row in rows:
                verdict = self._verdicts.of(int(row[SPATIAL_INDEX]), row[NAME])
                if verdict is not None:
                    row["verdict"] = verdict
        return rows


def _look(name: str) -> Record:
    """Say how a class is drawn on the page."""
    look = class_look(name)
    return {
        "name": name,
        "label": look.label,
        "variable": VARIABLES[look.colour],
        "marker": look.marker,
    }
