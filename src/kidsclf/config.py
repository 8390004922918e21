"""One run's settings: TOML in, frozen typed sections out.

Building a configuration touches nothing: no directory, no client, no glob. Relative paths in a
file are read from that file's folder; those given with ``--set`` from the current folder.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from upath import UPath

from kidsclf.errors import ConfigError

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[int, Field(gt=0)]


def _is_plain_name(name: str) -> str:
    """Refuse names that would lead out of the work directory."""
    if not name or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise ValueError("only letters, digits, '-' and '_' are allowed in a name")
    return name


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""Names of columns; a lone one may stand without brackets."""

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "bits_clear", "gaia_motion"]
CutValue = bool | int | float | str | tuple[int | float | str, ...]

PlainName = Annotated[str, AfterValidator(_is_plain_name)]


class Section(BaseModel):
    """A frozen section; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RunSettings(Section):
    """``[run]``: what holds for the whole run."""

    title: str = "kidsclf run"
    seed: Annotated[int, Field(ge=0)] = 1
    on_bad_input: Literal["stop", "quarantine"] = "stop"
    """``quarantine``: what cannot be read, or kills every worker that touches it, is left out."""


class SlurmSettings(Section):
    """``[cluster.slurm]``: one job a worker; passed to dask-jobqueue."""

    queue: str | None = None
    account: str | None = None
    walltime: str = "02:00:00"
    leave_before_minutes: Annotated[float, Field(gt=0)] = 10.0
    """So long before its walltime a worker takes no more tasks, finishes its own and is replaced;
    longer than the longest task, or half the walltime where that is shorter."""
    minimum_workers: Annotated[int, Field(ge=0)] | None = None
    """Jobs kept while there is little to do; by default all of ``workers``."""
    cores_per_worker: Positive = 1
    """Cores of each worker: as many as ``train.threads`` or ``infer.threads`` computes with."""
    gpus_per_job: Annotated[int, Field(ge=0)] = 0
    """Above 0, a job has so many workers, one a GPU, through dask-cuda."""
    interface: str | None = None
    """Network that the nodes share, such as ``ib0``."""
    job_extra_directives: tuple[str, ...] = ()
    job_script_prologue: tuple[str, ...] = ()
    start_timeout_seconds: Annotated[float, Field(gt=0)] = 300.0


class ClusterSettings(Section):
    """``[cluster]``: who does the work."""

    kind: str = "local"
    """``local``, ``cuda``, ``slurm``, or a scheduler's address (``tcp://...``, ``tls://...``)."""
    workers: Positive = 2
    memory_gib_per_worker: Annotated[float, Field(gt=0)] = 4.0
    dashboard_port: Annotated[int, Field(ge=0, le=65535)] = 8787
    """0 picks any free port; a port in use does too."""
    slurm: SlurmSettings = SlurmSettings()


class StoreSettings(Section):
    """``[store]``: how ``s3://`` is reached; credentials stand in the environment or ``~/.aws``."""

    endpoint_url: str | None = None
    """Address of the server; by default that of the environment (AWS_ENDPOINT_URL) or Amazon."""
    profile: str | None = None
    """Profile of ``~/.aws`` to use."""
    region: str | None = None
    anonymous: bool = False
    """Read public data without credentials."""
    patience_seconds: Annotated[float, Field(ge=0)] = 90.0
    """How long a request is repeated while the server or the network is away."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 20.0
    """How long one attempt waits."""
    scratch: str | None = None
    """Local folder for the workers' own files and logs where the work directory is remote; by
    default the system's for temporary files. Batch jobs need one that all nodes see."""


class SurveySettings(Section):
    """``[survey]``: the files that come in."""

    preset: str
    """A shipped column map, or the path of a TOML file of the user's own."""
    catalogue: tuple[str, ...] = ()
    """Files or globs."""
    tiles: tuple[str, ...] = ()
    """Image tiles: files or globs; none means that there are no images."""


class CutRule(Section):
    """``[[cuts]]`` of a column map, ``[[ingest.cuts]]``: a named selection; what it says is kept.

    ``gaia_motion`` takes six columns: parallax, its error, and proper motions in right ascension
    and declination, each followed by its error. Every other operator takes one column and a value;
    ``bits_clear`` keeps rows in which none of the bits of the value is set.
    """

    name: str
    columns: Names
    op: Operator
    value: CutValue | None = None

    @model_validator(mode="after")
    def _fits_operator(self) -> "CutRule":
        motion = self.op == "gaia_motion"
        if len(self.columns) != (6 if motion else 1) or motion != (self.value is None):
            raise ValueError("gaia_motion takes six columns, other operators a column and a value")
        if (self.op == "in") != isinstance(self.value, tuple):
            raise ValueError("op = 'in' takes a list, other operators a single value")
        if self.op == "bits_clear" and (type(self.value) is not int or self.value <= 0):
            raise ValueError("op = 'bits_clear' takes a whole number above 0, the sum of the bits")
        return self


class DuplicateSettings(Section):
    """``[ingest.duplicates]``: which rows are one source, listed by two tiles."""

    by: Literal["identifier", "position"] = "identifier"
    """Rows of one identifier, or of different tiles, that lie within the radius."""
    radius_arcsec: Annotated[float, Field(gt=0, le=10.0)] = 1.0
    tile_column: str | None = None
    """For ``position``: the survey's column that names the tile; by default each file is one."""

    @model_validator(mode="after")
    def _tile_fits(self) -> "DuplicateSettings":
        if self.tile_column is not None and self.by == "identifier":
            raise ValueError("tile_column is for by = 'position'")
        return self


class IngestSettings(Section):
    """``[ingest]``: which rows are taken, and how the sky is split."""

    cuts: tuple[CutRule, ...] = ()
    """Selections, in order, after those of the column map."""
    duplicates: DuplicateSettings = DuplicateSettings()
    magnitude_limit: float | None = None
    """Faintest magnitude of the survey's reference band that is kept (Feng: r <= 23)."""
    require_bands: tuple[str, ...] | None = None
    """Bands that must be measured; by default all bands of the survey."""
    max_rows: Positive = 100_000
    """A partition is split until it holds no more rows than this."""
    max_order: Annotated[int, Field(ge=0, le=15)] = 10
    """The finest HEALPix order of a partition."""
    chunk_rows: Positive = 500_000
    keep_columns: tuple[str, ...] = ()
    """Columns of the survey's own that are carried into the catalogue."""


class ReadyMadeSettings(Section):
    """``[cutouts.ready_made.NAME]``: stamps that were cut before, instead of tiles."""

    stamps: str
    """A Zarr array, or a NPY file or FITS cube on a local disk: (rows, side, side)."""
    names: str
    """A table that names the source of each row, in their order."""
    name_column: str = "name"
    """Its column of identifiers, as they stand in the catalogue."""
    zero_point: float
    """AB magnitude of unit flux."""
    pixel_scale_arcsec: Annotated[float, Field(gt=0)]


class CutoutSettings(Section):
    """``[cutouts]``: stamps of each source."""

    bands: tuple[str, ...] = ("r",)
    size_px: Annotated[int, Field(ge=3, le=512)] = 41
    size_arcsec: Annotated[float, Field(gt=0)] | None = None
    """Instead of ``size_px``: the nearest odd number of the band's own pixels."""
    hdu: Annotated[int, Field(ge=0)] | str | None = None
    """Index or name of the image in each tile; by default the first of two dimensions."""
    mask_bits: Annotated[int, Field(ge=0)] | None = None
    """Sum of the bits of masks that count; by default what the survey advises."""
    encoding: Literal["int16", "float32"] = "int16"
    """``int16``: about a fifth of the local sky noise a step; ``float32``: lossless."""
    ready_made: dict[PlainName, ReadyMadeSettings] = {}
    """Stamps that were cut before, by band."""


class FeatureSettings(Section):
    """``[features]``: what is measured of the shape of every source, on its stamp."""

    measure: tuple[str, ...] = ()
    """Columns of ``kidsclf.features.table``; none means that the stage is left out."""
    band: str | None = None
    """Whose stamps; by default the survey's reference band."""
    psf_fwhm_arcsec: Annotated[float, Field(gt=0)] | None = None
    """Seeing of the stamps; needed by columns that compare with the PSF."""


class SampleSettings(Section):
    """``[samples.NAME]``: sources with a label from another survey."""

    preset: str
    tables: tuple[str, ...] = ()
    """Files or globs; none means the labels stand in the catalogue itself."""
    radius_arcsec: Annotated[float, Field(gt=0, le=60.0)] = 1.0
    match: Literal["mutual", "nearest"] = "mutual"
    """``mutual``: a pair is each other's nearest, so a label serves one source; ``nearest``: every
    source takes its nearest label, which several may share."""
    exclude: tuple[str, ...] = ()
    """Samples whose sources are taken out of this one; they must be named before it."""


class NeuralSettings(Section):
    """``[train.neural]``: Feng §3.3."""

    epochs: Positive = 50
    batch_size: Positive = 128
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    l2: Annotated[float, Field(ge=0)] = 1e-3
    weight_average: Fraction = 0.0
    """Decay a step of an exponential mean of the weights, which is then judged and kept instead
    of the last weights (Polyak & Juditsky 1992); 0 is none, as Feng."""


class TreeSettings(Section):
    """``[train.trees]``: gradient-boosted trees."""

    trees: Positive = 200
    depth: Positive = 7
    learning_rate: Annotated[float, Field(gt=0)] = 0.1


class TrainSettings(Section):
    """``[train]``: which networks learn from which sample."""

    networks: tuple[PlainName, ...] = ("mnn", "mlp", "xgboost")
    sample: PlainName = "sdss"
    classes: tuple[str, ...] = ("STAR", "QSO", "GALAXY")
    validation_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.2
    folds: Annotated[int, Field(ge=0)] = 0
    """0: one test sample; k > 1: k-fold cross-validation, then one network of everything."""
    pretrained: str | None = None
    """A ``models`` folder of another run: its networks are taken instead of trained."""
    threads: Positive = 2
    """Threads of one training task; part of the answer's bits, so not derived from the machine."""
    neural: NeuralSettings = NeuralSettings()
    trees: TreeSettings = TreeSettings()


class InferSettings(Section):
    """``[infer]``: how networks are applied."""

    batch_size: Positive = 512
    threads: Positive = 1
    """Threads of one scoring task; workers run side by side."""
    extrapolated_from: float | None = 22.0
    """Fainter than this (reference band) is flagged as extrapolated; Feng §4.3."""
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of a network's products; ``auto`` is bfloat16 where the hardware multiplies it."""
    coverage: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Share of each class whose prediction sets are to hold the true class."""


class ReduceSettings(Section):
    """``[reduce]``: metrics and products."""

    product_network: PlainName | None = None
    """Whose classes the catalogue gives; by default the first of the networks."""
    magnitude_low: float = 15.0
    magnitude_high: float = 23.0
    magnitude_step: Annotated[float, Field(gt=0)] = 0.5
    thresholds: tuple[float, ...] = (0.34, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
    wanted_purity: tuple[Share, ...] = (0.95, 0.98, 0.99)
    wanted_completeness: tuple[Share, ...] = (0.9, 0.95, 0.99)
    """Of each class: the probabilities to cut at are named for these."""
    gallery: Annotated[int, Field(ge=0, le=60)] = 8
    """Stamps per class and kind on the page."""


class ProductSettings(Section):
    """``[products]``: the files in which the catalogue is handed to others, beside HATS."""

    formats: tuple[Literal["fits", "parquet", "votable"], ...] = ("fits", "parquet")
    split_by: Literal["none", "class", "area"] = "none"
    """``class``, ``area``: one file of each format a class, or a HEALPix pixel."""
    area_order: Annotated[int, Field(ge=0, le=8)] = 3
    """HEALPix order of the pixels of ``area``: 7.3 degrees wide at 3."""


class Config(Section):
    """A whole run."""

    run: RunSettings = RunSettings()
    cluster: ClusterSettings = ClusterSettings()
    store: StoreSettings = StoreSettings()
    survey: SurveySettings
    ingest: IngestSettings = IngestSettings()
    cutouts: CutoutSettings = CutoutSettings()
    features: FeatureSettings = FeatureSettings()
    samples: dict[PlainName, SampleSettings] = Field(default_factory=dict)
    train: TrainSettings = TrainSettings()
    infer: InferSettings = InferSettings()
    reduce: ReduceSettings = ReduceSettings()
    products: ProductSettings = ProductSettings()

    @property
    def has_images(self) -> bool:
        """Whether the run has stamps: cut from tiles, or ready-made."""
        return bool(self.survey.tiles or self.cutouts.ready_made)

    @property
    def has_features(self) -> bool:
        """Whether shapes are measured."""
        return bool(self.features.measure)


_PATH_KEYS = (
    ("store", "scratch"),
    ("survey", "catalogue"),
    ("survey", "tiles"),
    ("train", "pretrained"),
)


def load_config(path: Path | UPath, overrides: Sequence[str] = ()) -> Config:
    """Read a TOML file and apply ``section.key=value`` overrides.

    Raises
    ------
    ConfigError
        For a missing or malformed file, an unknown key (with the nearest known one) or a value
        of the wrong kind.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror or error}; give the path of a "
            f"TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; mend that line") from error
    _anchor_paths(raw, path.resolve().parent)
    changes: dict[str, Any] = {}
    for text in overrides:
        _set(changes, *_parse_override(text))
    _anchor_paths(changes, Path.cwd())
    return build_config(_merge(raw, changes), source=str(path))


def build_config(raw: Mapping[str, Any], source: str = "the configuration") -> Config:
    """Check raw settings and freeze them.

    Raises
    ------
    ConfigError
        On the first setting that does not fit.
    """
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explain(error, source)) from error
    _check_cutouts(config)
    _check_samples(config)
    return config


def _check_cutouts(config: Config) -> None:
    ready_made, bands = config.cutouts.ready_made, config.cutouts.bands
    if ready_made and config.survey.tiles:
        raise ConfigError(
            "stamps were asked for from survey.tiles and from cutouts.ready_made, but they come "
            "from one of them; take the other out"
        )
    if ready_made and not set(bands) <= ready_made.keys():
        raise ConfigError(
            f"cutouts.bands = {list(bands)} was asked for, but cutouts.ready_made has "
            f"{', '.join(ready_made)}; correct one of them"
        )


def _check_samples(config: Config) -> None:
    seen: list[str] = []
    for name, sample in config.samples.items():
        for other in sample.exclude:
            if other not in seen:
                raise ConfigError(
                    f"samples.{name}.exclude names {other!r}, which is not a sample defined before "
                    f"it (found: {', '.join(seen) or 'none'}); define samples.{other} first"
                )
        seen.append(name)
    if config.reduce.product_network not in (None, *config.train.networks):
        raise ConfigError(
            f"reduce.product_network = {config.reduce.product_network!r} is not among "
            f"train.networks {list(config.train.networks)}; name one of them"
        )
    classes = config.train.classes
    if len(classes) < 2 or len({each.lower() for each in classes}) < len(classes):
        raise ConfigError(
            f"train.classes = {list(classes)} must name at least two classes, each once; correct it"
        )
    if "+" in "".join(classes):
        raise ConfigError(
            f"train.classes = {list(classes)} has a class with '+' in its name, which joins the "
            f"classes of a prediction set; map the survey's labels to other names"
        )
    if config.train.folds == 1:
        raise ConfigError("train.folds = 1 leaves nothing to train on; use 0 or at least 2")


def _parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"--set {text!r} has no 'section.key=value' form; write e.g. --set ingest.max_rows=5000"
        )
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word or path needs no quotes on the command line
    return tuple(part.strip() for part in key.split(".")), parsed


def _set(tree: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        branch = tree.setdefault(key, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: {key} is a value, not a section")
        tree = branch
    tree[keys[-1]] = value


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = (
            _merge(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
        )
    return merged


def _anchor_paths(raw: dict[str, Any], folder: Path | UPath) -> None:
    """Make path settings absolute; a lone string stands for a list of one."""
    for section, key in _PATH_KEYS:
        table = raw.get(section)
        if isinstance(table, dict) and key in table:
            table[key] = _anchored(table[key], folder, one=key in {"pretrained", "scratch"})
    cutouts = raw.get("cutouts")
    ready_made = cutouts.get("ready_made") if isinstance(cutouts, dict) else None
    for table in ready_made.values() if isinstance(ready_made, dict) else ():
        for key in {"stamps", "names"} & (table.keys() if isinstance(table, dict) else set()):
            table[key] = _anchored(table[key], folder, one=True)
    samples = raw.get("samples")
    if isinstance(samples, dict):
        for sample in samples.values():
            if isinstance(sample, dict) and "tables" in sample:
                sample["tables"] = _anchored(sample["tables"], folder, one=False)
    for table in [raw.get("survey"), *(samples.values() if isinstance(samples, dict) else ())]:
        preset = table.get("preset") if isinstance(table, dict) else None
        if isinstance(table, dict) and isinstance(preset, str) and preset.endswith(".toml"):
            table["preset"] = _anchored(preset, folder, one=True)


def _anchored(value: Any, folder: Path | UPath, *, one: bool) -> Any:
    if isinstance(value, str):
        absolute = value if "://" in value else str(folder / Path(value).expanduser())
        return absolute if one else [absolute]
    if isinstance(value, list):
        return [_anchored(item, folder, one=True) for item in value]
    return value


def _explain(error: ValidationError, source: str) -> str:
    """Put the first complaint in a sentence; a misspelt key comes before what it left missing."""
    found = error.errors()
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{source} asks for {where}, which is not a setting; {_advice(first['loc'])}"
    if first["type"] == "missing":
        return f"{source} lacks {where}, which a run cannot do without; add it"
    value = f"{first['input']!r:.80}"
    if first["type"] == "model_type":
        keys = ", ".join(f"{where}.{key}" for key in _known_keys(first["loc"]))
        return f"{source} sets {where} = {value}, but that is a section; set one of {keys}"
    reason = first["msg"].removeprefix("Value error, ").lower()
    return f"{source} sets {where} = {value}: {reason}; correct that value"


def _advice(loc: tuple[int | str, ...]) -> str:
    """Name the settings that may have been meant: in that section, or of that name elsewhere."""
    key, section = str(loc[-1]), ".".join(str(part) for part in loc[:-1])
    known = _known_keys(loc[:-1])
    paths = list(_setting_paths(Config))
    meant = [path for path in paths if path.rpartition(".")[2] == key]
    if not meant:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        meant = [f"{section}.{near[0]}" if section else near[0]] if near else []
    if not meant:
        names = [path.rpartition(".")[2] for path in paths]
        near = difflib.get_close_matches(key, names, n=1, cutoff=0.75)
        meant = [path for path in paths if path.rpartition(".")[2] in near]
    if meant:
        return f"did you mean {' or '.join(meant)}?"
    return f"known {'keys there' if section else 'sections'} are {', '.join(known)}"


def _setting_paths(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """List all settings with their sections, e.g. ``train.neural.epochs``."""
    for name, field in section.model_fields.items():
        path, kind = f"{prefix}{name}", field.annotation
        yield path
        if get_origin(kind) is dict:
            path, kind = f"{path}.NAME", get_args(kind)[1]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _setting_paths(kind, f"{path}.")


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """List the keys of the section at ``loc``."""
    section: Any = Config
    for part in loc:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[str(part)].annotation
        else:
            section = get_args(section)[1]  # dict[name, Section]
    is_section = isinstance(section, type) and issubclass(section, BaseModel)
    return sorted(section.model_fields) if is_section else []
