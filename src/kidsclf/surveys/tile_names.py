"""What the names of image files say, by the convention of KiDS.

``KiDS_DR4.0_180.0_0.5_r_sci.fits`` is the science image of a field in r, ``_wei`` its weight,
``_msk`` its mask; ``_det`` before these marks the detection images.
Source: https://kids.strw.leidenuniv.nl/DR4/format.php
"""

import re
from pathlib import Path
from typing import Literal

_SUFFIXES = (".fits", ".fits.fz", ".fits.gz")
_SCIENCE = re.compile(
    r"(?P<field>.+)_(?P<band>[A-Za-z]+\d?)(?P<detection>_det|)_sci\.fits(\.fz|\.gz)?"
)
_COMPANION = re.compile(r".+_(wei|msk)\.fits(\.fz|\.gz)?")


def tile_band(path: str) -> str | None:
    """Read the band out of a science tile's file name; None if it is not named as KiDS does.

    >>> tile_band("KiDS_DR4.0_180.0_-0.5_r_sci.fits"), tile_band("image7.fits")
    ('r', None)
    """
    match = _SCIENCE.fullmatch(Path(path).name)
    return match["band"] if match else None


def is_companion(path: str) -> bool:
    """Say whether a file is a weight or mask by its name."""
    return _COMPANION.fullmatch(Path(path).name) is not None


def find_companion(path: str, kind: Literal["wei", "msk"]) -> str | None:
    """Find the weight or mask of a tile by KiDS naming, whatever its compression."""
    science = Path(path)
    match = _SCIENCE.fullmatch(science.name)
    if not match:
        return None
    field, band, detection = match["field"], match["band"], match["detection"]
    # Masks may be common to all bands.
    stems = (f"{field}_{band}{detection}_{kind}", f"{field}_{kind}", f"{field}_ugriZYJHKs_{kind}")
    for stem in stems:
        for suffix in _SUFFIXES:
            candidate = science.with_name(stem + suffix)
            if candidate.is_file():
                return str(candidate)
    return None
