"""What the names of image files say, by the convention of KiDS.

``KiDS_DR4.0_180.0_0.5_r_sci.fits`` is the science image of a field in r, ``_wei`` its weight,
``_msk`` its mask; ``_det`` before these marks the detection images, a band of their own here.
``..._ugriZYJHKs_msk`` is a mask common to nine bands.
Sources: https://kids.strw.leidenuniv.nl/DR4/format.php and, for the second pass in i (``i2``),
https://kids.strw.leidenuniv.nl/DR5/format.php.
"""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

from kidsclf.places import Place

_SUFFIXES = (".fits", ".fits.fz", ".fits.gz")
_SCIENCE = re.compile(r"(?P<field>.+?)_(?P<band>[A-Za-z]+\d?(_det)?)_sci\.fits(\.fz|\.gz)?")
_COMPANION = re.compile(r".+_(wei|msk)\.fits(\.fz|\.gz)?")
_ALL_BANDS = ("ugriZYJHKs", "ugri1i2ZYJHKs")
"""The second by analogy: the names of ten-band masks are not documented."""

ALL_BITS = -1
NINE_BAND_BITS = 28_668
"""Bits 2 to 11, 13 and 14 of the nine-band mask: those of the lensing catalogues, which forgive
the very conservative manual mask (0), faint halos (1) and the single-band mask in r (12). Meanings
of the bits: description of KiDS data release 4 (Kuijken et al. 2019, A&A 625, A2), Table 8."""


@dataclass(frozen=True)
class TileFiles:
    """A science image and what lies beside it on the same pixels."""

    path: Place
    band: str | None
    """None if the name does not say it."""
    weight: Place | None
    mask: Place | None


def tile_band(name: str) -> str | None:
    """Read the band out of a science tile's file name; None if it is not named as KiDS does.

    >>> tile_band("KiDS_DR4.0_180.0_-0.5_r_sci.fits"), tile_band("image7.fits")
    ('r', None)
    >>> tile_band("KiDS_DR4.0_180.0_-0.5_r_det_sci.fits")
    'r_det'
    """
    match = _SCIENCE.fullmatch(name)
    return match["band"] if match else None


def pair_tiles(paths: Sequence[Place]) -> tuple[TileFiles, ...]:
    """Find the science images among files, and the weights and masks in their folders.

    Folders are listed once each, however many tiles they hold.
    """
    science = [path for path in paths if not _COMPANION.fullmatch(path.name)]
    folders = {path.parent for path in science if tile_band(path.name)}
    beside = {folder: {path.name for path in folder.iterdir()} for folder in folders}
    return tuple(_with_companions(path, beside.get(path.parent, set())) for path in science)


def default_mask_bits(mask: Place) -> int:
    """Say which bits of a mask count by the survey's own advice; all if there is none.

    Masks of one band mark spikes, saturated cores, three kinds of halo, bad pixels and what was
    masked by hand (https://kids.strw.leidenuniv.nl/DR1/masking.php); all of these count.
    """
    nine_bands = mask.name.startswith("KiDS_DR4") and f"_{_ALL_BANDS[0]}_msk." in mask.name
    return NINE_BAND_BITS if nine_bands else ALL_BITS


def _with_companions(path: Place, names: Container[str]) -> TileFiles:
    match = _SCIENCE.fullmatch(path.name)
    if not match:
        return TileFiles(path, None, None, None)
    found = {kind: _companion(match["field"], match["band"], kind, names) for kind in _KINDS}
    weight, mask = (path.with_name(name) if name else None for name in found.values())
    return TileFiles(path, match["band"], weight, mask)


_Kind = Literal["wei", "msk"]
_KINDS: tuple[_Kind, ...] = ("wei", "msk")


def _companion(field: str, band: str, kind: _Kind, names: Container[str]) -> str | None:
    """Prefer the band's own file to one that several bands share."""
    for word in (f"{band}_", "", *(f"{bands}_" for bands in _ALL_BANDS)):
        for suffix in _SUFFIXES:
            candidate = f"{field}_{word}{kind}{suffix}"
            if candidate in names:
                return candidate
    return None
