"""A first look at the input files, before anything starts."""

from collections.abc import Collection, Mapping

from kidsclf.config import Config
from kidsclf.errors import ConfigError
from kidsclf.pipeline.labels import labels_only
from kidsclf.schema import canonical_names
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.tables import check_columns, find_files


def check_inputs(
    config: Config, survey: ColumnMap, samples: Mapping[str, ColumnMap], stages: Collection[str]
) -> None:
    """Make sure that files are there, and that the first of each list has the columns asked for.

    Raises
    ------
    ConfigError
        When there is nothing to classify.
    InputError
        When a pattern matches no file, or a column is missing or has another unit.
    """
    if "ingest" in stages:
        if not config.survey.catalogue:
            raise ConfigError(
                "survey.catalogue is empty, so there is nothing to classify; give the survey's "
                "files with --set survey.catalogue=PATH"
            )
        files = find_files(config.survey.catalogue, config.store)
        check_columns(files[0], survey, _own_columns(config, survey))
    if "cutouts" in stages and config.survey.tiles:
        find_files(config.survey.tiles, config.store)
    for name, sample in config.samples.items() if "match" in stages else ():
        if sample.tables:
            files = find_files(sample.tables, config.store)
            check_columns(files[0], labels_only(samples[name]))


def _own_columns(config: Config, survey: ColumnMap) -> tuple[str, ...]:
    """List the survey's own columns that are kept, and those that selections compare."""
    canonical = canonical_names(survey.bands)
    compared = (name for rule in config.ingest.cuts for name in rule.columns)
    tile = config.ingest.duplicates.tile_column
    kept = (*config.ingest.keep_columns, *((tile,) if tile is not None else ()))
    return (*kept, *(name for name in compared if name not in canonical))
