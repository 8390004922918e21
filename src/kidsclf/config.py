"""One run's settings: frozen typed sections. ``config_file`` reads them."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

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
    report: bool = True
    """Whether the page is drawn, which takes some ten seconds."""


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
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products while it trains; weights, sums and losses are float32 in both."""
    augment: Literal["none", "turns"] = "none"
    """``turns``: each time a stamp is shown, it is turned and mirrored in one of eight ways."""


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
    committee: Positive = 1
    """Networks of each kind, which answer as one: the median of what they say, renormalised."""
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
    novel_from: Annotated[float, Field(ge=0, le=1)] = 0.99
    """From this novelty on a source is flagged as unlike the training sample."""
    backend: Literal["auto", "tensorflow", "jax", "torch", "openvino"] = "tensorflow"
    """``auto``: the fastest that is installed, measured once and kept in the work directory."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of a network's products; ``auto`` is bfloat16 where the hardware multiplies it."""
    coverage: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Share of each class whose prediction sets are to hold the true class."""

    @property
    def answering_backend(self) -> Literal["tensorflow", "jax", "torch", "openvino"]:
        """The backend that is named; TensorFlow for an ``auto`` that no run has settled."""
        return "tensorflow" if self.backend == "auto" else self.backend

    @property
    def keras_backend(self) -> Literal["tensorflow", "jax", "torch"]:
        """What Keras runs on, in training too: TensorFlow where OpenVINO answers."""
        named = self.answering_backend
        return "tensorflow" if named == "openvino" else named


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
