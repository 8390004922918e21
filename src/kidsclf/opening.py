"""What commands that open a cluster share: the configuration, and what workers are told."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from kidsclf.cluster.open import KINDS, open_cluster
from kidsclf.config import Config, StoreSettings
from kidsclf.config_file import load_config
from kidsclf.errors import ConfigError
from kidsclf.pipeline.full_disk import write_failures
from kidsclf.pipeline.mapping import Engine, Watcher
from kidsclf.pipeline.progress import ProgressEvents, ProgressLine
from kidsclf.pipeline.scratch import scratch_folders
from kidsclf.places import place
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.lock import locked

WATCHERS: dict[str, Callable[[TextIO], Watcher]] = {"text": ProgressLine, "json": ProgressEvents}
"""Ways to tell how a command goes on."""


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what names a configuration and changes it."""
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help="TOML file; without it, that of --workdir",
    )
    parser.add_argument(
        "--workdir",
        default="kidsclf-run",
        metavar="DIR",
        help="where everything of this run lies: a folder or s3://BUCKET/NAME (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--cluster",
        metavar="KIND",
        help=f"{', '.join(KINDS)}, or a scheduler's address (tcp://host:8786); "
        "overrides cluster.kind",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="overrides cluster.workers")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        help="change one setting, e.g. --set train.neural.epochs=20; repeat as needed",
    )
    parser.add_argument(
        "--log-format",
        choices=tuple(WATCHERS),
        default="text",
        help="how progress is told on standard error: a line for people, or JSON lines",
    )


def read_configuration(options: argparse.Namespace) -> Config:
    """Read the configuration that was named, as options change it.

    Raises
    ------
    ConfigError
        When there is none.
    """
    before = StoreSettings()  # until the configuration is read, the environment has to do
    path = place(options.config or options.workdir, before)
    path = path / "run.toml" if options.config is None else path
    if options.config is None and not path.exists():
        raise ConfigError(
            f"no configuration was given and {path} is not there; give a TOML file, e.g. "
            f"configs/demo.toml"
        )
    overrides = list(options.overrides)
    if options.cluster is not None:
        overrides.append(f'cluster.kind="{options.cluster}"')
    if options.workers is not None:
        overrides.append(f"cluster.workers={options.workers}")
    return load_config(path, overrides)


@contextmanager
def engine_opened(work: WorkDirectory, config: Config, log_format: str) -> Iterator[Engine]:
    """Take a work directory, open the cluster, and give what maps tasks over its workers.

    Parameters
    ----------
    work : WorkDirectory
        No other command may write to it meanwhile.
    config : Config
    log_format : str
        One of ``WATCHERS``.

    Raises
    ------
    StoreError
        When another command has the work directory, or it can no longer be written to.
    ClusterError
        When the cluster cannot be had.
    """
    with (
        write_failures(work.root),
        locked(work.root),
        scratch_folders(work, config) as (scratch, logs),
        open_cluster(
            config.cluster, scratch=scratch, logs=logs, environment=worker_environment(config)
        ) as client,
    ):
        watcher = WATCHERS[log_format](sys.stderr)
        yield Engine(client, work, watcher, config.run.on_bad_input)


def worker_environment(config: Config) -> dict[str, str]:
    """Settings that libraries read from the environment when a worker starts.

    On a GPU two of them share the card: Keras takes memory as it needs it (for TensorFlow, see
    ``models/backend.py``) and CuPy's pool, which gives nothing back, at most half.
    """
    return {
        "KERAS_BACKEND": config.infer.keras_backend,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "CUPY_GPU_MEMORY_LIMIT": "50%",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", ""),
    }
