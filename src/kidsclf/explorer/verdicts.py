"""What people say of sources that they have looked at: one table, which training takes as labels.

It lies in ``verdicts/`` of the work directory, beside what a run makes and not among it, so that
no command of a run writes or removes it. Each verdict is on the disk, in a file that appeared
whole, before it is acknowledged; one explorer at a time holds the folder.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from kidsclf.errors import ConfigError, StoreError
from kidsclf.places import Place, is_local
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.lock import locked
from kidsclf.store.publish import remove_unfinished, secure
from kidsclf.store.tables import read_table, write_table

STAR, QUASAR, GALAXY, JUNK = "star", "quasar", "galaxy", "junk"
VERDICTS = (STAR, QUASAR, GALAXY, JUNK)

SCHEMA = pa.schema(
    [
        (NAME, pa.string()),
        (RA, pa.float64()),
        (DEC, pa.float64()),
        ("verdict", pa.string()),
        ("network", pa.string()),
        ("said", pa.string()),
        ("p_max", pa.float32()),
        ("when", pa.string()),
        (SPATIAL_INDEX, pa.int64()),
    ]
)
"""``said`` and ``p_max``: what the network said of the source when it was looked at."""

Key = tuple[int, str]


@dataclass(frozen=True)
class Judged:
    """A source that is to be judged, as the catalogue has it."""

    index: int
    name: str
    ra: float
    dec: float
    network: str
    said: str
    p_max: float | None


class Verdicts:
    """The table of one work directory, in memory and on the disk."""

    def __init__(self, path: Place) -> None:
        self.path = path
        self._lock = threading.Lock()
        rows = _known(path) if path.exists() else []
        self._rows = {(row[SPATIAL_INDEX], row[NAME]): row for row in rows}

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, index: int, name: str) -> str | None:
        """Give the verdict on a source; None where there is none."""
        row = self._rows.get((index, name))
        return None if row is None else str(row["verdict"])

    def counts(self) -> dict[str, int]:
        """Count the sources of each verdict."""
        given = [row["verdict"] for row in list(self._rows.values())]
        return {verdict: given.count(verdict) for verdict in VERDICTS}

    def give(self, source: Judged, verdict: str | None) -> str | None:
        """Give a verdict, or take the one there is back by None; return the one before.

        Raises
        ------
        ConfigError
            For a word that is no verdict.
        StoreError
            When it cannot be written down; the one before holds.
        """
        if verdict is not None and verdict not in VERDICTS:
            raise ConfigError(
                f"the verdict {str(verdict)[:40]!r} was given, but the verdicts are "
                f"{', '.join(VERDICTS)}; give one of those"
            )
        key = (source.index, source.name)
        with self._lock:
            before, rows = self._rows.get(key), dict(self._rows)
            rows.pop(key, None)
            if verdict is not None:
                rows[key] = _row(source, verdict)
            self._write(pa.Table.from_pylist(_in_sky_order(rows), schema=SCHEMA))
            self._rows = rows
        return None if before is None else str(before["verdict"])

    def _write(self, table: pa.Table) -> None:
        try:
            try:
                write_table(self.path, table)
            except FileNotFoundError:  # a run that begins sweeps away what it takes for unfinished
                write_table(self.path, table)
            secure(self.path)
        except OSError as error:
            raise StoreError(
                f"the verdict was to be written to {self.path}, but that cannot be done "
                f"({_reason(error)}), and it was not kept; mend that and give it again"
            ) from error


def _known(path: Place) -> list[dict[str, Any]]:
    """Read the verdicts there are, if all of them can be kept as they are.

    Raises
    ------
    StoreError
        When the table is damaged, or is no table of verdicts.
    """
    try:
        table = read_table(path)
    except StoreError as error:
        raise _no_verdicts(path, f"it cannot be read ({error.__cause__ or error})") from error
    if table.schema.names != SCHEMA.names:
        raise _no_verdicts(path, f"its columns are {', '.join(table.schema.names) or 'none'}")
    try:
        rows: list[dict[str, Any]] = table.cast(SCHEMA).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise _no_verdicts(path, f"a column has another type: {error}") from error
    for row in rows:
        if row["verdict"] not in VERDICTS:
            raise _no_verdicts(path, f"it says {str(row['verdict'])[:40]!r} of {row[NAME]!r}")
        if row[SPATIAL_INDEX] is None or row[NAME] is None:
            raise _no_verdicts(path, f"a row has no {SPATIAL_INDEX} or no {NAME}")
    return rows


def _no_verdicts(path: Place, found: str) -> StoreError:
    return StoreError(
        f"a table of verdicts ({', '.join(VERDICTS)}) with the columns {', '.join(SCHEMA.names)} "
        f"was expected at {path}, but {found}; mend it or move it away, or give --read-only"
    )


def _row(source: Judged, verdict: str) -> dict[str, object]:
    return {
        NAME: source.name,
        RA: source.ra,
        DEC: source.dec,
        "verdict": verdict,
        "network": source.network,
        "said": source.said,
        "p_max": source.p_max,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        SPATIAL_INDEX: source.index,
    }


def _in_sky_order(rows: Mapping[Key, dict[str, object]]) -> list[dict[str, object]]:
    return [rows[key] for key in sorted(rows)]


@contextmanager
def open_verdicts(work: WorkDirectory) -> Iterator[Verdicts]:
    """Hold the folder of verdicts, and give its table.

    Raises
    ------
    StoreError
        When another explorer holds it, it cannot be written to, or the table is damaged.
    """
    folder = work.verdicts.parent
    with ExitStack() as holding:
        try:
            if is_local(folder):
                folder.mkdir(exist_ok=True)
            holding.enter_context(locked(folder))
        except (OSError, StoreError) as error:
            raise StoreError(
                f"verdicts were to be kept in {folder}, but another explorer has that folder, or "
                f"it cannot be written to ({_reason(error)}); end that explorer, or give "
                f"--read-only to look without judging"
            ) from error
        remove_unfinished(folder)
        yield Verdicts(work.verdicts)


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error).partition(";")[0]
