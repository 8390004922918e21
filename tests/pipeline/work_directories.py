"""What tests read out of a work directory."""

import json
import sys
from pathlib import Path

from kidsclf.pipeline.client_files import OF_THE_REPORT

COMMAND = (sys.executable, "-m", "kidsclf.run")


def summary_of(work: Path) -> dict:
    """Read ``metrics/summary.json``."""
    return json.loads((work / "metrics/summary.json").read_text())


def science_of(work: Path) -> dict[str, bytes]:
    """Read every file whose bytes must not depend on how a run went."""
    found = {}
    for folder in ("catalog", "features", "samples", "scores", "products", "metrics"):
        for path in sorted((work / folder).rglob("*")):
            if path.is_file() and path.name not in OF_THE_REPORT:
                found[str(path.relative_to(work))] = path.read_bytes()
    return found
