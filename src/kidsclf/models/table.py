"""The networks there are. A new one is a file with a builder and a row here.

No row names a band or counts them: which there are is the survey's affair.
"""

import difflib
from dataclasses import dataclass
from typing import Literal

from kidsclf.errors import ConfigError
from kidsclf.models.description import InputDescription


@dataclass(frozen=True)
class NetworkEntry:
    """A row of the table.

    Attributes
    ----------
    name : str
        What ``train.networks`` calls it.
    task : str
        What it says of a source.
    magnitudes : str
        Those that it reads, with their adjacent colours: of ``all`` bands of the survey, of those
        of them that have stamps (``imaged``), or ``none``.
    stamps : str
        Those that it reads: that of the survey's ``reference`` band, those of ``all`` of
        ``cutouts.bands``, or ``none``.
    family : str
        How it is trained and stored: ``keras`` (``model.keras``) or ``xgboost`` (``model.ubj``).
    builder : str
        ``module:function``; imported only where the network is trained.
    paper : str
        Where it is described.
    """

    name: str
    task: Literal["classification"]
    magnitudes: Literal["all", "imaged", "none"]
    stamps: Literal["reference", "all", "none"]
    family: Literal["keras", "xgboost"]
    builder: str
    paper: str

    @property
    def images(self) -> bool:
        """Whether it reads stamps."""
        return self.stamps != "none"

    def reads(self, data: InputDescription, reference_band: str | None) -> InputDescription:
        """Say what of a run's data this network reads.

        Parameters
        ----------
        data : InputDescription
            All bands and all image bands of the run.
        reference_band : str or None
            Of the survey.

        Raises
        ------
        ConfigError
            If the data lack what it reads.

        Examples
        --------
        >>> kids = InputDescription(tuple("ugriZYJHK"), tuple("ugri"), 41, ("STAR", "QSO"))
        >>> four = network_entry("mnn_imaged_bands").reads(kids, "r")
        >>> four.bands, four.image_bands
        (('u', 'g', 'r', 'i'), ('r',))
        """
        image_bands = self._image_bands(data.image_bands, reference_band)
        size_px = data.size_px if image_bands else 0
        return InputDescription(self._bands(data), image_bands, size_px, data.classes)

    def _bands(self, data: InputDescription) -> tuple[str, ...]:
        if self.magnitudes == "none":
            return ()
        if self.magnitudes == "all":
            return data.bands
        imaged = tuple(band for band in data.bands if band in data.image_bands)
        if not imaged:
            raise ConfigError(
                f"the network {self.name!r} reads the magnitudes of bands that have stamps, but of "
                f"{_listed(data.bands)} none is among cutouts.bands ({_listed(data.image_bands)}); "
                f"name one there, or take 'mnn'"
            )
        return imaged

    def _image_bands(
        self, image_bands: tuple[str, ...], reference_band: str | None
    ) -> tuple[str, ...]:
        if self.stamps == "none":
            return ()
        if not image_bands:
            raise ConfigError(
                f"the network {self.name!r} needs images, but the data have no image band; name "
                f"one in cutouts.bands or take a network of photometry alone, such as 'mlp'"
            )
        if self.stamps == "all" or len(image_bands) == 1:
            return image_bands
        if reference_band not in image_bands:
            raise ConfigError(
                f"the network {self.name!r} reads stamps in one band, the survey's reference band "
                f"{reference_band}, but cutouts.bands holds {_listed(image_bands)}; add it, or "
                f"name one band alone"
            )
        return (reference_band,)


def _listed(bands: tuple[str, ...]) -> str:
    return ", ".join(bands) or "no band"


_FENG = "Feng et al., KiDS DR5 star-quasar-galaxy classification, "
_MNN = "kidsclf.models.feng:build_mnn"

NETWORKS = (
    # name, task, magnitudes, stamps, family, builder, paper
    NetworkEntry(
        "mnn",
        "classification",
        "all",
        "reference",
        "keras",
        _MNN,
        _FENG + "§3.1; Table 1, MNN (Img1+Pho9)",
    ),
    NetworkEntry(
        "mnn_imaged_bands",
        "classification",
        "imaged",
        "reference",
        "keras",
        _MNN,
        _FENG + "§5.1; Table 1, MNN (Img1+Pho4)",
    ),
    NetworkEntry(
        "mnn_all_stamps",
        "classification",
        "imaged",
        "all",
        "keras",
        _MNN,
        _FENG + "§5.1; Table 1, MNN (Img4+Pho4)",
    ),
    NetworkEntry(
        "cnn",
        "classification",
        "none",
        "all",
        "keras",
        "kidsclf.models.feng:build_cnn",
        _FENG + "§5.1; Table 1, CNN (Img4)",
    ),
    NetworkEntry(
        "mlp",
        "classification",
        "all",
        "none",
        "keras",
        "kidsclf.models.feng:build_mlp",
        _FENG + "§3.1 and Appendix A; Table 1, MLP (Pho9)",
    ),
    NetworkEntry(
        "mnn_fast",
        "classification",
        "all",
        "reference",
        "keras",
        "kidsclf.models.mnn_fast:build_mnn_fast",
        "docs/networks.md, a network of our own",
    ),
    NetworkEntry(
        "xgboost",
        "classification",
        "all",
        "none",
        "xgboost",
        "kidsclf.models.trees:grow_trees",
        "Chen & Guestrin 2016, KDD '16, 785; Feng et al., Table 1, XGBoost (Pho9)",
    ),
)


def network_entry(name: str) -> NetworkEntry:
    """Find a network by its name.

    Raises
    ------
    ConfigError
        If there is none, with the nearest name.

    Examples
    --------
    >>> network_entry("mnn").images
    True
    """
    known = {entry.name: entry for entry in NETWORKS}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "name one of those"
    raise ConfigError(
        f"the network {name!r} was asked for, but the table holds {', '.join(known)}; {hint}"
    )
