"""Where everything of a run lies below its work directory."""

from collections.abc import Container
from dataclasses import dataclass

from kidsclf.places import Place, remove_tree, subfolders


@dataclass(frozen=True)
class WorkDirectory:
    """The paths of one run."""

    root: Place

    @property
    def made(self) -> tuple[Place, ...]:
        """Everything that a run makes in the folder, and nothing that is the user's."""
        folders = ("catalog", "cutouts.zarr", "features", "samples", "models", "scores")
        others = ("metrics", "products", "report", "experiments", "receipts", "quarantine")
        return tuple(self.root / name for name in (*folders, *others, "staging", "checkpoints"))

    @property
    def settings(self) -> Place:
        """The resolved configuration."""
        return self.root / "run.toml"

    @property
    def catalogue(self) -> Place:
        """HATS: photometry."""
        return self.root / "catalog"

    @property
    def cutouts(self) -> Place:
        """Zarr: stamps, one group a partition."""
        return self.root / "cutouts.zarr"

    @property
    def features(self) -> Place:
        """HATS: shapes of the sources."""
        return self.root / "features"

    @property
    def metrics(self) -> Place:
        """One table a question."""
        return self.root / "metrics"

    @property
    def products(self) -> Place:
        """What is handed to others."""
        return self.root / "products"

    @property
    def report(self) -> Place:
        """The page."""
        return self.root / "report" / "index.html"

    @property
    def receipts(self) -> Place:
        """What finished tasks left."""
        return self.root / "receipts"

    @property
    def quarantine(self) -> Place:
        """Records of what was left out."""
        return self.root / "quarantine"

    @property
    def failure(self) -> Place:
        """Why the last command ended early."""
        return self.root / "failure.json"

    @property
    def verdicts(self) -> Place:
        """What people said of sources in the explorer; theirs, and not what a run makes."""
        return self.root / "verdicts" / "verdicts.parquet"

    @property
    def staging(self) -> Place:
        """Sorted chunks between reading and splitting; removed when a stage ends."""
        return self.root / "staging"

    @property
    def scratch(self) -> Place:
        """The workers' own temporary files where the folder is local; removed when a run ends."""
        return self.root / "scratch"

    @property
    def logs(self) -> Place:
        """What batch jobs said, where the folder is local."""
        return self.root / "logs"

    @property
    def samples(self) -> Place:
        """Folder of all samples."""
        return self.root / "samples"

    def sample(self, name: str) -> Place:
        """HATS: labels of one sample."""
        return self.samples / name

    def model(self, network: str) -> Place:
        """A trained network."""
        return self.root / "models" / network

    def fold_model(self, network: str, fold: int) -> Place:
        """A network trained without one fold."""
        return self.root / "models" / "folds" / f"{network}-{fold}"

    def experiment(self, name: str) -> Place:
        """Tables, figures and answers of one experiment."""
        return self.root / "experiments" / name

    @property
    def members(self) -> Place:
        """Folder of the networks of all committees."""
        return self.root / "models" / "members"

    def member_model(self, task: str) -> Place:
        """One network of a committee, by the name of its training task."""
        return self.members / task

    @property
    def checkpoints(self) -> Place:
        """How far unfinished training tasks have come; removed when the stage ends."""
        return self.root / "checkpoints"

    @property
    def all_scores(self) -> Place:
        """Folder of the scores of all networks."""
        return self.root / "scores"

    def scores(self, network: str) -> Place:
        """HATS: what a network says of each source."""
        return self.all_scores / network

    def reduced(self, network: str) -> Place:
        """Per-partition states of the reductions."""
        return self.root / "metrics" / "states" / network


def keep_only(folder: Place, names: Container[str]) -> None:
    """Remove the folders below one that the run no longer has: they fit no catalogue of today."""
    for path in subfolders(folder):
        if path.name not in names:
            remove_tree(path)
