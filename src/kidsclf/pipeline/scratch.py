"""Local folders of a run beside its work directory: scratch, which goes, and logs, which stay."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kidsclf.config import Config
from kidsclf.errors import ConfigError
from kidsclf.places import is_local, remove_tree
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.publish import remove_unfinished


@contextmanager
def scratch_folders(work: WorkDirectory, config: Config) -> Iterator[tuple[Path, Path]]:
    """Hand out local folders for the workers' own files and logs.

    Nothing of the first stays, however the run ends.
    """
    root, scratch, logs = work.root, work.scratch, work.logs
    if not (is_local(root) and is_local(scratch) and is_local(logs)):
        yield from _beside(config)
        return
    try:
        yield scratch, logs
    except BaseException:
        remove_unfinished(root)  # by now the workers of this run's own have ended
        raise
    finally:
        remove_tree(scratch)


def _beside(config: Config) -> Iterator[tuple[Path, Path]]:
    """Hand out folders elsewhere, as the work directory is in an object store.

    Raises
    ------
    ConfigError
        When batch jobs would look for the folder on another node.
    """
    if config.cluster.kind == "slurm" and config.store.scratch is None:
        raise ConfigError(
            "a work directory in an object store was given with --cluster slurm, but no folder for "
            "certificates and logs that all nodes see; give it with --set store.scratch=FOLDER"
        )
    within = Path(config.store.scratch or tempfile.gettempdir())
    within.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kidsclf-scratch-", dir=within) as scratch:
        yield Path(scratch), within / "kidsclf-logs"
