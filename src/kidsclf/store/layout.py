"""Where everything of a run lies below its work directory."""

import shutil
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkDirectory:
    """The paths of one run."""

    root: Path

    @property
    def made(self) -> tuple[Path, ...]:
        """Everything that a run makes in the folder, and nothing that is the user's."""
        folders = ("catalog", "cutouts.zarr", "samples", "models", "scores", "metrics", "products")
        others = ("report", "receipts", "staging")
        return tuple(self.root / name for name in (*folders, *others))

    @property
    def settings(self) -> Path:
        """The resolved configuration."""
        return self.root / "run.toml"

    @property
    def catalogue(self) -> Path:
        """HATS: photometry."""
        return self.root / "catalog"

    @property
    def cutouts(self) -> Path:
        """Zarr: stamps, one group a partition."""
        return self.root / "cutouts.zarr"

    @property
    def metrics(self) -> Path:
        """One table a question."""
        return self.root / "metrics"

    @property
    def products(self) -> Path:
        """What is handed to others."""
        return self.root / "products"

    @property
    def report(self) -> Path:
        """The page."""
        return self.root / "report" / "index.html"

    @property
    def receipts(self) -> Path:
        """What finished tasks left."""
        return self.root / "receipts"

    @property
    def staging(self) -> Path:
        """Sorted chunks between reading and splitting; removed when a stage ends."""
        return self.root / "staging"

    @property
    def scratch(self) -> Path:
        """The workers' own temporary files; removed when a run ends."""
        return self.root / "scratch"

    @property
    def logs(self) -> Path:
        """What batch jobs said."""
        return self.root / "logs"

    @property
    def samples(self) -> Path:
        """Folder of all samples."""
        return self.root / "samples"

    def sample(self, name: str) -> Path:
        """HATS: labels of one sample."""
        return self.samples / name

    def model(self, network: str) -> Path:
        """A trained network."""
        return self.root / "models" / network

    def fold_model(self, network: str, fold: int) -> Path:
        """A network trained without one fold."""
        return self.root / "models" / "folds" / f"{network}-{fold}"

    @property
    def all_scores(self) -> Path:
        """Folder of the scores of all networks."""
        return self.root / "scores"

    def scores(self, network: str) -> Path:
        """HATS: what a network says of each source."""
        return self.all_scores / network

    def reduced(self, network: str) -> Path:
        """Per-partition states of the reductions."""
        return self.root / "metrics" / "states" / network


def keep_only(folder: Path, names: Container[str]) -> None:
    """Remove the folders below one that the run no longer has: they fit no catalogue of today."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_dir() and path.name not in names:
            shutil.rmtree(path)
