"""The commands beside the run itself; they read a work directory and open no cluster."""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass

from kidsclf.config import StoreSettings
from kidsclf.errors import ConfigError
from kidsclf.pipeline.check import check_work_directory
from kidsclf.pipeline.compare import compare
from kidsclf.pipeline.compared_rows import parse_columns, plan_catalogue
from kidsclf.pipeline.comparison import told
from kidsclf.pipeline.full_disk import write_failures
from kidsclf.pipeline.progress import duration
from kidsclf.pipeline.query import answer, cone_of, flags_of, radius_deg
from kidsclf.pipeline.query_partition import Question
from kidsclf.pipeline.status import RunStatus, status_of
from kidsclf.places import Place, is_local, place
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.products import SUFFIXES

_UNSOUND = 4
_MOST_NAMED = 20
_PORT = 5011


@dataclass(frozen=True)
class Command:
    """One word of the command line: what it is for, what it takes and what it does."""

    name: str
    meaning: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    work: Callable[[argparse.Namespace], int]

    def parser(self) -> argparse.ArgumentParser:
        """Describe its command line."""
        parser = argparse.ArgumentParser(
            prog=f"kidsclf {self.name}", description=f"{self.meaning[0].upper()}{self.meaning[1:]}."
        )
        self.add_arguments(parser)
        return parser


def _add_work_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workdir", metavar="WORKDIR", help="of a run: a folder or s3://BUCKET/NAME")
    _add_store(parser)


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--endpoint-url", metavar="URL", help="of the object store, where it is not Amazon's"
    )


def _store(options: argparse.Namespace) -> StoreSettings:
    return StoreSettings(endpoint_url=options.endpoint_url)


def _work_directory(options: argparse.Namespace) -> WorkDirectory:
    return WorkDirectory(place(options.workdir, _store(options)).resolve())


def _add_status(parser: argparse.ArgumentParser) -> None:
    _add_work_directory(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON record")


def _status(options: argparse.Namespace) -> int:
    status = status_of(_work_directory(options))
    if options.json:
        record = asdict(status) | {"done": status.done}
        for stage, raw in zip(status.stages, record["stages"], strict=True):
            raw["state"] = stage.state
        print(json.dumps(record, indent=2))
    else:
        _print_status(status, options.workdir)
    return 0


def _print_status(status: RunStatus, workdir: str) -> None:
    state = "a run is at work" if status.running else "no run is at work"
    print(f"{status.title}: {workdir}, {'done' if status.done else 'not done'}, {state}")
    print(f"  {'stage':<10} {'tasks':>15} {'rows':>15} {'worker time':>12}  state")
    for stage in status.stages:
        expected = "?" if stage.expected is None else f"{stage.expected:,}"
        tasks = f"{stage.finished:,}/{expected}"
        time = duration(stage.seconds)
        print(f"  {stage.stage:<10} {tasks:>15} {stage.rows:>15,} {time:>12}  {stage.state}")
    for record in status.quarantined[:_MOST_NAMED]:
        print(f"quarantine  {record.stage} {record.task}: {record.reason}")
    if len(status.quarantined) > _MOST_NAMED:
        print(f"quarantine  and {len(status.quarantined) - _MOST_NAMED:,} more below quarantine/")
    if status.failure is not None and not status.running:
        failure = status.failure
        print(f"last end    {failure.when}, exit code {failure.exit_code}: {failure.reason}")


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_work_directory(parser)
    parser.add_argument(
        "--threads",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="partitions read side by side (default: %(default)s)",
    )


def _check(options: argparse.Namespace) -> int:
    faults = 0
    for finding in check_work_directory(_work_directory(options), max(1, options.threads)):
        verdict = f"{len(finding.faults)} faults" if finding.faults else "sound"
        print(f"{finding.part:<22} {finding.read:<40} {verdict}", flush=True)
        for fault in finding.faults:
            print(f"  {fault.path}: {fault.what}")
        faults += len(finding.faults)
    if faults:
        print(
            f"{faults} faults: remove the files named and give the command of the run again, which "
            f"makes them anew"
        )
    return _UNSOUND if faults else 0


def _add_query(parser: argparse.ArgumentParser) -> None:
    _add_work_directory(parser)
    parser.add_argument(
        "--cone",
        nargs=3,
        metavar=("RA", "DEC", "RADIUS"),
        help="degrees; RADIUS also as 2.5arcmin or 30arcsec",
    )
    parser.add_argument("--class", dest="class_name", metavar="CLASS", help="most probable class")
    parser.add_argument("--pmin", type=float, metavar="P", help="least p_max")
    parser.add_argument("--flags", metavar="A,B", help="all of which are set")
    parser.add_argument(
        "--without-flags", metavar="A,B", help="none of which is set; 'any': no flag at all"
    )
    parser.add_argument("--columns", metavar="A,B", help="of the answer; by default all")
    parser.add_argument("--format", choices=tuple(SUFFIXES), help="by default by FILE's ending")
    parser.add_argument("--output", required=True, metavar="FILE", help="local or s3://")


def _query(options: argparse.Namespace) -> int:
    columns = None
    if options.columns is not None:
        columns = tuple(name.strip() for name in options.columns.split(","))
    cone = None if options.cone is None else cone_of(*options.cone)
    question = Question(
        cone,
        options.class_name,
        options.pmin,
        flags_of("--flags", options.flags),
        flags_of("--without-flags", options.without_flags, "any"),
        columns,
    )
    output = place(options.output, _store(options))
    form = options.format or _format_of(options.output)
    _check_new(output)
    with write_failures(output):
        found = answer(_work_directory(options), question, form, output)
    print(
        f"{found.rows:,} sources from {found.opened:,} of {found.partitions:,} partitions: {output}"
    )
    return 0


def _check_new(output: Place) -> None:
    """Refuse to write over what is there, or into a run.

    Raises
    ------
    ConfigError
    """
    if output.exists():
        raise ConfigError(
            f"--output would write {output}, but that is there already; give another name, or "
            f"remove it first"
        )
    for folder in output.parents:
        if is_local(folder) and folder.exists() and not folder.is_dir():
            raise ConfigError(
                f"--output would write {output}, but {folder} is no folder; give another place"
            )
        if (folder / "run.toml").exists() and (folder / "receipts").is_dir():
            raise ConfigError(
                f"--output would write {output} into the work directory {folder}, which holds what "
                f"the run made and nothing else; give another place"
            )


def _format_of(name: str) -> str:
    for form, suffix in SUFFIXES.items():
        if name.lower().endswith(suffix):
            return form
    raise ConfigError(
        f"--output {name} was given without --format, but its ending is none of "
        f"{', '.join(SUFFIXES.values())}; give --format {'|'.join(SUFFIXES)}"
    )


def _add_compare(parser: argparse.ArgumentParser) -> None:
    for side in "AB":
        parser.add_argument(
            side.lower(), metavar=side, help="a run's folder, a HATS catalogue, or tables"
        )
    for side in "ab":
        parser.add_argument(
            f"--columns-{side}",
            metavar="ROLE=COLUMN,...",
            help="roles: name, ra, dec, class, p_max, magnitude",
        )
    parser.add_argument("--radius", default="1arcsec", help="of the match (default: %(default)s)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the tables")
    _add_store(parser)


def _compare(options: argparse.Namespace) -> int:
    settings = _store(options)
    a = plan_catalogue(options.a, parse_columns(options.columns_a), settings)
    b = plan_catalogue(options.b, parse_columns(options.columns_b), settings)
    output = place(options.output, settings)
    for table in ("agreement.parquet", "changed.parquet"):
        _check_new(output / table)
    with write_failures(output):
        found = compare(a, b, radius_deg(options.radius) * 3600.0, output)
    for line in told(found):
        print(line)
    print(f"tables      {output / 'agreement.parquet'}")
    print(f"            {output / 'changed.parquet'}")
    return 0


def _add_serve(parser: argparse.ArgumentParser) -> None:
    _add_work_directory(parser)
    parser.add_argument(
        "--port",
        type=int,
        default=_PORT,
        metavar="N",
        help="on loopback; 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--read-only", action="store_true", help="take no verdicts and write nothing"
    )


def _serve(options: argparse.Namespace) -> int:
    work = _work_directory(options)
    from kidsclf.explorer.server import serve  # noqa: PLC0415  # brings matplotlib

    serve(work, options.port, _announce, read_only=options.read_only)
    print("explorer stopped")
    return 0


def _announce(address: str) -> None:
    print(f"explorer {address}", flush=True)
    print("         open it in a browser on this machine; Ctrl-C ends it", flush=True)


COMMANDS = {
    command.name: command
    for command in (
        Command("status", "say how far a run has come", _add_status, _status),
        Command(
            "check",
            "read all of a work directory and name everything in it that is not as written",
            _add_check,
            _check,
        ),
        Command("query", "write the sources of a catalogue that are asked for", _add_query, _query),
        Command(
            "compare",
            "match two catalogues, and say where their classes agree and what changed",
            _add_compare,
            _compare,
        ),
        Command("serve", "look at a finished run in a browser on this machine", _add_serve, _serve),
    )
}
