"""The command ``experiment``: a table or figure of the paper again, on a run with labels."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from kidsclf.cluster.open import check_kind
from kidsclf.commands import Command
from kidsclf.errors import ConfigError, StoreError
from kidsclf.experiments import published
from kidsclf.experiments.table import EXPERIMENTS, Experiment, Wish, experiment, write_result
from kidsclf.models.table import network_entry
from kidsclf.opening import add_run_arguments, engine_opened, read_configuration
from kidsclf.pipeline.choosing import settle_backend
from kidsclf.pipeline.compared_rows import parse_columns
from kidsclf.pipeline.context import Context
from kidsclf.places import place
from kidsclf.store.failure import failure_kept
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.publish import remove_unfinished
from kidsclf.surveys.map_files import load_column_map


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    names = "; ".join(f"{each.name}: {each.meaning}" for each in EXPERIMENTS)
    parser.add_argument("name", metavar="NAME", help=names)
    add_run_arguments(parser)
    parser.add_argument(
        "--seeds",
        type=int,
        default=Wish().seeds,
        metavar="N",
        help="trainings of each network, each with its own weights and split (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--networks",
        metavar="A,B",
        help="only these; by default all of the paper's table (table1) or train.networks",
    )
    parser.add_argument(
        "--quasars",
        metavar="TABLES",
        help="for external: positions of another catalogue's quasars, a file or glob",
    )
    parser.add_argument(
        "--columns", metavar="ra=A,dec=B", help="of those tables, where they are not called so"
    )


def _work(options: argparse.Namespace) -> int:
    asked, wish = experiment(options.name), _wish(options)
    config = read_configuration(options)
    survey = load_column_map(config.survey.preset)
    samples = {name: load_column_map(each.preset) for name, each in config.samples.items()}
    check_kind(config.cluster)
    work = WorkDirectory(place(options.workdir, config.store).resolve())
    if not work.settings.exists():
        raise ConfigError(
            f"an experiment was asked for, but {work.root} holds no run.toml; give the --workdir "
            f"of a run, and do its stages up to {asked.needs} first"
        )
    print(f"kidsclf experiment {asked.name}: {asked.meaning}", flush=True)
    with engine_opened(work, config, options.log_format) as engine:
        remove_unfinished(work.root)
        print(f"{engine.workers} workers ({config.cluster.kind}), dashboard {engine.dashboard}")
        kept = failure_kept(work.failure, f"experiment {asked.name}")
        with kept, _told_what_is_needed(asked):
            config, _ = settle_backend(config, survey, work, engine)
            context = Context(config, work, survey, samples, engine)
            result = asked.run(context, wish)
            write_result(context, asked, result)
    for line in result.lines:
        print(line)
    print(f"beside it: {published.citation()}")
    print(f"tables and figures  {work.experiment(asked.name)}")
    return 0


@contextmanager
def _told_what_is_needed(asked: Experiment) -> Iterator[None]:
    """Add to a refusal of an earlier stage which stages an experiment is built on."""
    try:
        yield
    except StoreError as error:
        error.add_note(
            f"the experiment {asked.name} is built on the stages up to {asked.needs} of a run of "
            f"the same configuration"
        )
        raise


def _wish(options: argparse.Namespace) -> Wish:
    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds} was given, but there must be one at least")
    named = (name.strip() for name in (options.networks or "").split(","))
    networks = tuple(dict.fromkeys(filter(None, named)))
    for name in networks:
        network_entry(name)
    return Wish(options.seeds, networks, options.quasars, parse_columns(options.columns))


EXPERIMENT = Command(
    "experiment",
    "do a table or figure of Feng et al. again, beside the published one",
    _add_arguments,
    _work,
)
