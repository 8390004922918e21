"""Why the last command on a work directory ended early; gone when one ends well."""

import json
from dataclasses import asdict, dataclass

from kidsclf.places import Place
from kidsclf.store.publish import published_file


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
