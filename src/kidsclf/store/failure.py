"""Why the last command on a work directory ended early; gone when one ends well."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from kidsclf.errors import KidsclfError
from kidsclf.places import Place
from kidsclf.store.publish import published_file

INTERRUPTED = 130
_KILLED = 137
_WITHOUT_A_WORD = "no word since: it was killed, its machine ended, or its disk took no more"


@dataclass(frozen=True)
class Failure:
    """One command that ended early: when (ISO 8601, UTC), with which exit code, and why."""

    when: str
    exit_code: int
    reason: str


def write_failure(path: Place, failure: Failure) -> None:
    """Publish the record."""
    with published_file(path) as temporary:
        temporary.write_text(json.dumps(asdict(failure)), encoding="utf-8")


def read_failure(path: Place) -> Failure | None:
    """Read the record; None where the last command ended well, or none has begun yet."""
    try:
        return Failure(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def failure_kept(path: Place, command: str = "") -> Iterator[None]:
    """Leave a record of why a command ended early, for ``kidsclf status``.

    Parameters
    ----------
    path : Place
        Of the record, which is removed when the command ends well.
    command : str, optional
        Named before the reason, where it is not the run itself.
    """
    head = f"{command}: " if command else ""
    # Who is killed says nothing, so this is said before.
    write_failure(path, Failure(_now(), _KILLED, f"{head}{_WITHOUT_A_WORD}"))
    try:
        yield
    except BaseException as error:
        code, reason = 1, f"{type(error).__name__}: {error}"
        if isinstance(error, KidsclfError):
            code, reason = error.exit_code, one_sentence(error)
        elif isinstance(error, KeyboardInterrupt):
            code, reason = INTERRUPTED, "interrupted"
        with suppress(OSError, KidsclfError):  # what went wrong counts, not that it cannot be kept
            write_failure(path, Failure(_now(), code, f"{head}{reason}"))
        raise
    path.unlink(missing_ok=True)


def one_sentence(error: KidsclfError) -> str:
    """Give what an error says, with where it was met in brackets."""
    return str(error) + "".join(f" ({note})" for note in getattr(error, "__notes__", []))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
