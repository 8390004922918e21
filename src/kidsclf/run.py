"""The command: survey files in, classified catalogue and report out."""

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w

from kidsclf import __version__
from kidsclf.cluster.open import KINDS, check_kind, open_cluster
from kidsclf.config import Config, load_config
from kidsclf.errors import ConfigError, KidsclfError
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.mapping import Engine
from kidsclf.pipeline.plan import (
    STAGES,
    Stage,
    check_memory,
    check_networks,
    choose_stages,
    memory_gib,
    run_stages,
)
from kidsclf.pipeline.progress import ProgressLine, duration
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.lock import locked
from kidsclf.store.publish import remove_unfinished
from kidsclf.store.tables import read_json, write_text
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.map_files import load_column_map
from kidsclf.surveys.tables import find_files

_INTERRUPTED = 130
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
            "6 plan does not fit, 1 other, 130 interrupted."
        ),
    )
    parser.add_argument(
        "config",
        nargs="?",
        type=Path,
        metavar="CONFIG",
        help="TOML file; without it, that of --workdir",
    )
    parser.add_argument(
        "--workdir",
        type=Path,
        default=Path("kidsclf-run"),
        metavar="DIR",
        help="where everything of this run lies (default: %(default)s)",
    )
    parser.add_argument(
        "--cluster",
        metavar="KIND",
        help=f"{', '.join(KINDS)}, or a scheduler's address (tcp://host:8786); "
        "overrides cluster.kind",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="overrides cluster.workers")
    parser.add_argument(
        "--stages", metavar="A,B", help="only these stages, in the order of the journey"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        help="change one setting, e.g. --set ingest.max_rows=50000; repeat as needed",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and stop")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="remove what kidsclf made in the work directory and begin anew",
    )
    parser.add_argument("--version", action="version", version=f"kidsclf {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    logging.getLogger("distributed").setLevel(logging.ERROR)
    options = build_parser().parse_args(arguments)
    try:
        return _run(options)
    except KidsclfError as error:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
        print(f"kidsclf: {error}{notes}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("kidsclf: interrupted; the same command goes on from here", file=sys.stderr)
        return _INTERRUPTED
    except Exception:  # noqa: BLE001  # the outermost frame: a defect keeps its traceback
        traceback.print_exc()
        print("kidsclf: this is a defect of the program, please report it", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    started = time.monotonic()
    config = _configuration(options)
    stages = choose_stages(options.stages.split(",") if options.stages else None)
    survey = load_column_map(config.survey.preset)
    samples = {name: load_column_map(each.preset) for name, each in config.samples.items()}
    check_kind(config.cluster)
    check_memory(config, len(survey.bands), stages)
    check_networks(config, survey, samples, stages)
    _check_inputs(config, stages)
    work = WorkDirectory(options.workdir.resolve())
    _check_overwriting(config, options.config, work, fresh=options.fresh)
    if options.dry_run:
        _print_plan(config, survey, stages, work)
        return 0
    _check_work_directory(work, fresh=options.fresh)
    print(f"kidsclf {__version__}: {config.run.title}", flush=True)
    with (
        locked(work.root),
        _scratch(work) as scratch,
        open_cluster(
            config.cluster,
            scratch=scratch,
            logs=work.logs,
            environment=_worker_environment(config),
        ) as client,
    ):
        _prepare(work, config, fresh=options.fresh)
        engine = Engine(client, work, ProgressLine(sys.stderr))
        print(f"{engine.workers} workers ({config.cluster.kind}), dashboard {engine.dashboard}")
        run_stages(Context(config, work, survey, samples, engine), stages)
        remove_unfinished(work.root)
    _print_result(work, time.monotonic() - started)
    return 0


def _configuration(options: argparse.Namespace) -> Config:
    path = options.config or options.workdir / "run.toml"
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


def _check_inputs(config: Config, stages: Sequence[Stage]) -> None:
    """Look for the input files before anything starts."""
    names = {stage.name for stage in stages}
    if "ingest" in names:
        if not config.survey.catalogue:
            raise ConfigError(
                "survey.catalogue is empty, so there is nothing to classify; give the survey's "
                "files with --set survey.catalogue=PATH"
            )
        find_files(config.survey.catalogue)
    if "cutouts" in names and config.survey.tiles:
        find_files(config.survey.tiles)
    if "match" in names:
        for sample in config.samples.values():
            if sample.tables:
                find_files(sample.tables)


def _worker_environment(config: Config) -> dict[str, str]:
    """Settings that libraries read from the environment when a worker starts."""
    return {
        "KERAS_BACKEND": config.infer.backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", ""),
    }


def _check_overwriting(
    config: Config, path: Path | None, work: WorkDirectory, *, fresh: bool
) -> None:
    """Make sure that nothing of the user's is overwritten or removed."""
    if path is not None and path.resolve() == work.settings and not _is_ours(path):
        raise ConfigError(
            f"the configuration {path} lies where kidsclf writes the resolved one; give it another "
            f"name, or give another --workdir"
        )
    samples = [table for sample in config.samples.values() for table in sample.tables]
    inputs = [*config.survey.catalogue, *config.survey.tiles, *samples]
    inputs += [config.train.pretrained] if config.train.pretrained is not None else []
    for given in inputs if fresh else ():
        if any(Path(given).resolve().is_relative_to(folder) for folder in work.made):
            raise ConfigError(
                f"--fresh would remove {given}, which this run reads; move it out of {work.root}"
            )


def _is_ours(settings: Path) -> bool:
    """Say whether a file is a configuration that kidsclf wrote."""
    if not settings.is_file():
        return False
    with settings.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip() == _WRITTEN


def _check_work_directory(work: WorkDirectory, *, fresh: bool) -> None:
    """Make sure that there is a folder to write to, and that ``--fresh`` empties only our own."""
    try:
        work.root.mkdir(parents=True, exist_ok=True)
        foreign = fresh and any(work.root.iterdir()) and not _is_ours(work.settings)
        with tempfile.TemporaryFile(dir=work.root):
            pass
    except OSError as error:
        raise ConfigError(
            f"--workdir {work.root} was to be written to, but that is not possible "
            f"({error.strerror}); choose another"
        ) from error
    if foreign:
        raise ConfigError(
            f"--fresh would empty {work.root}, but no run.toml says that it is a work "
            f"directory of kidsclf; choose another --workdir or remove it yourself"
        )


@contextmanager
def _scratch(work: WorkDirectory) -> Iterator[Path]:
    """Hand out the folder of the workers' own files; nothing of it stays, however the run ends."""
    try:
        yield work.scratch
    except BaseException:
        remove_unfinished(work.root)  # by now the workers of this run's own have ended
        raise
    finally:
        shutil.rmtree(work.scratch, ignore_errors=True)
        with suppress(OSError):  # a run that never began leaves no empty folder
            work.root.rmdir()


def _prepare(work: WorkDirectory, config: Config, *, fresh: bool) -> None:
    """Take the folder over; only now, so that a cluster that does not open costs nothing."""
    if fresh:
        for path in work.made:
            shutil.rmtree(path, ignore_errors=True)
    remove_unfinished(work.root)
    settings = tomli_w.dumps(_without_none(config.model_dump(mode="json")))
    write_text(work.settings, f"{_WRITTEN}\n{settings}")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def _print_plan(
    config: Config, survey: ColumnMap, stages: Sequence[Stage], work: WorkDirectory
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
    for stage in stages:
        if stage.name == "cutouts" and not config.survey.tiles:
            print(f"  {stage.name:<9} left out: there are no tiles")
            continue
        done = (work.receipts / stage.name).exists()
        need = f"{needs[stage.name]:.1f} GiB a task" if stage.name in needs else ""
        print(f"  {stage.name:<9} {stage.meaning:<40} {need:<16} {'has receipts' if done else ''}")


def _print_result(work: WorkDirectory, seconds: float) -> None:
    path = work.metrics / "summary.json"
    if not path.exists():
        print(f"done in {duration(seconds)}: {work.root}")
        return
    summary = read_json(path)
    catalogue = summary["catalogue"]
    print()
    area = catalogue["area_sq_deg"]
    where = f"over {area:.2f} sq. deg." if area else "over an area too sparse to measure"
    print(
        f"{summary['rows_in']:,} rows read, {summary['rows_out']:,} classified by "
        f"{catalogue['network']} {where}"
    )
    counts = "  ".join(f"{name} {count:,}" for name, count in catalogue["classes"].items())
    print(f"classes    {counts}")
    _print_networks(summary["networks"], pretrained=summary["run"]["pretrained"])
    for warning in summary["warnings"]:
        print(f"note       {warning}")
    print(f"catalogue  {work.products / 'catalog.fits'}")
    print(f"           {work.products / 'catalog'} (HATS)")
    print(f"report     {work.report}")
    print(f"took       {duration(seconds)}")


def _print_networks(networks: dict[str, Any], *, pretrained: bool) -> None:
    judged = {name: each for name, each in networks.items() if each["accuracy"] is not None}
    if not judged:
        print("no labels  judge the networks of this run")
        return
    first = next(iter(judged.values()))
    classes = list(first["classes"])
    support = sum(each["support"] for each in first["classes"].values())
    seen = "(what taught the networks is not known here)" if pretrained else "they have not seen"
    print(f"networks   judged by {support:,} labels of {first['sample']} {seen}")
    heads = "".join(f"{'F1 ' + each:<12}" for each in classes)
    print(f"           {'':<10} {'accuracy':<18}{heads}".rstrip())
    for name, each in judged.items():
        accuracy = _number(each["accuracy"])
        if each.get("accuracy_std"):
            accuracy += f" +- {each['accuracy_std']:.4f}"
        scores = "".join(f"{_number(each['classes'][c]['f1']):<12}" for c in classes)
        print(f"           {name:<10} {accuracy:<18}{scores}".rstrip())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(main())
