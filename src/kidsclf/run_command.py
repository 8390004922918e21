"""The command without a word: survey files in, classified catalogue and report out."""

import argparse
import sys
import tempfile
import time
import tomllib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import tomli_w

from kidsclf import __version__
from kidsclf.cluster.open import check_kind, sky_link
from kidsclf.commands import COMMANDS
from kidsclf.config import Config
from kidsclf.errors import ConfigError, KidsclfError, StoreError
from kidsclf.experiment_command import EXPERIMENT
from kidsclf.opening import add_run_arguments, engine_opened, read_configuration
from kidsclf.pipeline.choosing import remembered_backend, settle_backend
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.dry_run import foresee
from kidsclf.pipeline.first_look import check_inputs
from kidsclf.pipeline.forecast import forecast_lines
from kidsclf.pipeline.mapping import Engine
from kidsclf.pipeline.plan import (
    STAGES,
    Stage,
    check_memory,
    check_networks,
    choose_stages,
    memory_gib,
    run_stages,
    stages_behind,
)
from kidsclf.pipeline.result_lines import result_lines
from kidsclf.places import Place, files_below, impatient, is_local, place, remove_tree
from kidsclf.store.failure import failure_kept
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.lock import LEASE
from kidsclf.store.publish import remove_unfinished
from kidsclf.store.quarantine import read_quarantine, write_quarantined
from kidsclf.store.tables import write_text
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.map_files import load_column_map

_QUARANTINED = 7
_FIRST_ANSWER_SECONDS = 10.0
_WRITTEN = "# Written by kidsclf: the settings of the last run in this folder."


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="kidsclf",
        description=(
            "Classify the sources of a survey: read its catalogues and image tiles, train or take "
            "networks, and write the classified catalogue with a report page. A run that was "
            "stopped goes on where it stood when the same command is given again."
        ),
        epilog=(
            "stages: "
            + "; ".join(f"{stage.name} ({stage.meaning})" for stage in STAGES)
            + ". Exit codes: 0 done, 2 configuration, 3 input files, 4 work directory, 5 cluster, "
            "6 plan does not fit, 7 done but for what is in quarantine, 1 other, 130 interrupted. "
            "Other commands: "
            + "; ".join(
                f"kidsclf {each.name} ({each.meaning})" for each in (*COMMANDS.values(), EXPERIMENT)
            )
            + "."
        ),
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--stages", metavar="A,B", help="only these stages, in the order of the journey"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and stop")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="remove what kidsclf made in the work directory and begin anew",
    )
    parser.add_argument("--version", action="version", version=f"kidsclf {__version__}")
    return parser


def run(options: argparse.Namespace) -> int:
    """Do what was asked, and give the exit code."""
    started = time.monotonic()
    config = read_configuration(options)
    named = options.stages.split(",") if options.stages else None
    stages = choose_stages(named, report=config.run.report)
    survey = load_column_map(config.survey.preset)
    samples = {name: load_column_map(each.preset) for name, each in config.samples.items()}
    check_kind(config.cluster)
    check_memory(config, len(survey.bands), stages)
    check_networks(config, survey, samples, stages)
    check_inputs(config, survey, samples, [stage.name for stage in stages])
    work = WorkDirectory(place(options.workdir, config.store).resolve())
    _check_overwriting(config, options.config, work, fresh=options.fresh)
    _check_work_directory(work, options)
    if options.dry_run:
        _print_plan(config, survey, samples, stages, work, fresh=options.fresh)
        return 0
    print(f"kidsclf {__version__}: {config.run.title}", flush=True)
    with engine_opened(work, config, options.log_format) as engine:
        before = {} if options.fresh else _records(work)
        _prepare(work, config, fresh=options.fresh)
        print(f"{engine.workers} workers ({config.cluster.kind}), dashboard {engine.dashboard}")
        print(f"map of the sky {sky_link(engine.dashboard)}", flush=True)
        with _as_before_if_refused(work, before, engine), failure_kept(work.failure):
            config, told = settle_backend(config, survey, work, engine)
            if told is not None:
                print(told, flush=True)
                _write_settings(work, config)
            outcomes = run_stages(Context(config, work, survey, samples, engine), stages)
        remove_unfinished(work.root)
    for line in result_lines(work, time.monotonic() - started):
        print(line)
    behind = stages_behind(outcomes, report=config.run.report)
    if behind:
        names = ", ".join(behind)
        print(f"not run after that: {names}; if they made anything, it is of older results")
    return _exit_code(work)


def _exit_code(work: WorkDirectory) -> int:
    """Say on standard error what was left out; without that, 0."""
    left_out = len(read_quarantine(work.quarantine))
    if not left_out:
        return 0
    print(
        f"kidsclf: all was done but {left_out} tasks, which are in quarantine; their records in "
        f"{work.quarantine} say why, and the same command tries them again",
        file=sys.stderr,
    )
    return _QUARANTINED


def _check_overwriting(
    config: Config, given: str | None, work: WorkDirectory, *, fresh: bool
) -> None:
    """Make sure that nothing of the user's is overwritten or removed."""
    path = place(given, config.store).resolve() if given is not None else None
    if path is not None and path == work.settings and not _is_ours(path):
        raise ConfigError(
            f"the configuration {given} lies where kidsclf writes the resolved one; give it "
            f"another name, or give another --workdir"
        )
    samples = [table for sample in config.samples.values() for table in sample.tables]
    inputs = [*config.survey.catalogue, *config.survey.tiles, *samples]
    inputs += [config.train.pretrained] if config.train.pretrained is not None else []
    inputs += [
        path for band in config.cutouts.ready_made.values() for path in (band.stamps, band.names)
    ]
    for each in inputs if fresh else ():
        if any(_lies_in(place(each, config.store), folder) for folder in work.made):
            raise ConfigError(
                f"--fresh would remove {each}, which this run reads; move it out of {work.root}"
            )


def _lies_in(path: Place, folder: Place) -> bool:
    """Say whether a path leads into a folder, on the same file system."""
    return f"{path.resolve()}/".startswith(f"{folder}/")


def _is_ours(settings: Place) -> bool:
    """Say whether a file is a configuration that kidsclf wrote."""
    if not settings.exists():
        return False
    with settings.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip() == _WRITTEN


def _check_work_directory(work: WorkDirectory, options: argparse.Namespace) -> None:
    """Make sure that there is a folder to write to, and that ``--fresh`` empties only our own."""
    try:
        foreign = options.fresh and _is_foreign(work)
        if not options.dry_run:
            _try_to_write(work.root)
    except StoreError:
        raise
    except OSError as error:
        raise ConfigError(
            f"--workdir {work.root} was to be written to, but that is not possible "
            f"({error.strerror or error}); choose another"
        ) from error
    if foreign:
        raise ConfigError(
            f"--fresh would empty {work.root}, but no run.toml says that it is a work "
            f"directory of kidsclf; choose another --workdir or remove it yourself"
        )


def _is_foreign(work: WorkDirectory) -> bool:
    """Say whether a folder holds something, but no run of ours."""
    if not is_local(work.root):
        held = any(path.name != LEASE for path in files_below(work.root))
    else:
        held = work.root.exists() and any(path.name != LEASE for path in work.root.iterdir())
    return held and not _is_ours(work.settings)


def _try_to_write(root: Place) -> None:
    if is_local(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return
    # Nobody wants to wait long for the first answer of a server that was misspelt.
    probe = impatient(root, _FIRST_ANSWER_SECONDS) / f".probe-{uuid.uuid4().hex}"
    probe.write_bytes(b"")
    probe.unlink()


def _records(work: WorkDirectory) -> dict[Place, str]:
    """Read what says how an earlier run was set and how it ended; empty where there was none."""
    if not work.settings.exists():
        return {}
    files = (work.settings, work.failure)
    return {path: path.read_text(encoding="utf-8") if path.exists() else "" for path in files}


@contextmanager
def _as_before_if_refused(
    work: WorkDirectory, before: Mapping[Place, str], engine: Engine
) -> Iterator[None]:
    """Leave an earlier run as it was where a command is refused before anything is done.

    How that command ended is kept where it asked for the same with the same workers or others.
    """
    left_out = read_quarantine(work.quarantine)
    try:
        yield
    except KidsclfError:
        if not engine.has_worked:
            with suppress(OSError, KidsclfError):  # why it was refused is what has to be said
                for record in left_out:
                    write_quarantined(work.quarantine, record)
                now = work.settings.read_text(encoding="utf-8")
                if _asked(now) != _asked(before.get(work.settings, "")):
                    for path, text in before.items():
                        write_text(path, text) if text else path.unlink(missing_ok=True)
        raise


def _asked(settings: str) -> dict[str, Any]:
    """Read what a run was asked, without who was to do it; nothing where a hand has spoilt it."""
    with suppress(tomllib.TOMLDecodeError):
        return {key: value for key, value in tomllib.loads(settings).items() if key != "cluster"}
    return {}


def _prepare(work: WorkDirectory, config: Config, *, fresh: bool) -> None:
    """Take the folder over; only now, so that a cluster that does not open costs nothing."""
    if fresh:
        for path in work.made:
            remove_tree(path)
    remove_unfinished(work.root)
    _write_settings(work, config)


def _write_settings(work: WorkDirectory, config: Config) -> None:
    settings = tomli_w.dumps(_without_none(config.model_dump(mode="json")))
    write_text(work.settings, f"{_WRITTEN}\n{settings}")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def _print_plan(
    config: Config,
    survey: ColumnMap,
    samples: Mapping[str, ColumnMap],
    stages: Sequence[Stage],
    work: WorkDirectory,
    *,
    fresh: bool,
) -> None:
    needs = memory_gib(config, len(survey.bands))
    print(f"kidsclf {__version__}: {config.run.title} (dry run, nothing is written)")
    print(f"work directory  {work.root}{' (exists)' if work.settings.exists() else ''}")
    print(f"survey          {survey.name}, bands {' '.join(survey.bands)}")
    print(f"networks        {', '.join(config.train.networks)}")
    print(
        f"cluster         {config.cluster.kind}, {config.cluster.workers} workers of "
        f"{config.cluster.memory_gib_per_worker:g} GiB"
    )
    names = [stage.name for stage in stages]
    removed = 0
    if fresh:
        removed = sum(sum(files_below(path).values()) for path in work.made)
        print("--fresh         what kidsclf made in the work directory is removed first")
    # What a fresh run finds is what a folder holds that is not there.
    met = WorkDirectory(work.root / "fresh") if fresh else work
    config = remembered_backend(config, met)
    found = foresee(config, met, survey, samples, names)
    if "report" in names:
        print("report          the page is made anew by every run")
    for line in forecast_lines(found, config, work, needs, removed):
        print(line)
