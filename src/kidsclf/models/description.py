"""What goes into a network and what comes out, as known before any network is built."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kidsclf.errors import StoreError


@dataclass(frozen=True)
class InputDescription:
    """The shape of the data.

    Attributes
    ----------
    bands : tuple of str
        Photometric bands in the order of their columns; empty where the network takes none.
    image_bands : tuple of str
        Channels of the stamps; empty where the network takes none.
    size_px : int
        Side of a stamp, pixels; 0 where there are none.
    classes : tuple of str
        What the columns of the probabilities stand for.
    """

    bands: tuple[str, ...]
    image_bands: tuple[str, ...]
    size_px: int
    classes: tuple[str, ...]

    @property
    def photometry_features(self) -> int:
        """Magnitudes and adjacent colours.

        >>> InputDescription(tuple("ugri"), (), 0, ("STAR", "QSO")).photometry_features
        7
        """
        return max(0, 2 * len(self.bands) - 1)

    def as_dict(self) -> dict[str, Any]:
        """Write it as JSON can hold it."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "InputDescription":
        """Read what ``as_dict`` wrote.

        Raises
        ------
        StoreError
            If an entry is missing or of another kind.
        """
        try:
            return cls(
                tuple(map(str, record["bands"])),
                tuple(map(str, record["image_bands"])),
                int(record["size_px"]),
                tuple(map(str, record["classes"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"a network's card was asked what its network reads, but its description lacks or "
                f"garbles {error}; train the network again"
            ) from error
