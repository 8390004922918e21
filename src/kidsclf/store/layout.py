"""Where everything of a run lies below its work directory."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkDirectory:
    """The paths of one run."""

    root: Path

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

    def sample(self, name: str) -> Path:
        """HATS: labels of one sample."""
        return self.root / "samples" / name

    def model(self, network: str) -> Path:
        """A trained network."""
        return self.root / "models" / network

    def fold_model(self, network: str, fold: int) -> Path:
        """A network trained without one fold."""
        return self.root / "models" / "folds" / f"{network}-{fold}"

    def scores(self, network: str) -> Path:
        """HATS: what a network says of each source."""
        return self.root / "scores" / network

    def reduced(self, network: str) -> Path:
        """Per-partition states of the reductions."""
        return self.root / "metrics" / "states" / network
