"""Multi-band tables of KiDS DR4's columns, one file a square degree, fast and of any size.

The sky is drawn for its bookkeeping, not for its physics: positions are uniform in a tile, colours
are Gaussian. What it has in common with the survey is what costs an ingest time: the columns and
their types, the length of the identifiers, files of one tile each, sentinels, rows that two tiles
list.
"""

from pathlib import Path

import numpy as np
from astropy.io import fits

BANDS = ("u", "g", "r", "i", "Z", "Y", "J", "H", "Ks")
TILE_ROWS = 50_000
"""KiDS DR5 has 65.9 million sources in 1,350 tiles (Wright et al. 2024, A&A 686, A170)."""
_TILES_ACROSS = 20
_LISTED_TWICE = 0.002
_MISSING = 0.01

_TYPE = np.dtype(
    [
        ("ID", "S29"),
        ("KIDS_TILE", "S16"),
        ("RAJ2000", ">f8"),
        ("DECJ2000", ">f8"),
        ("FLUX_RADIUS", ">f4"),
        ("MASK", ">i4"),
        ("SG2DPHOT", ">i2"),
        ("Z_B", ">f8"),
        *((f"{kind}_{band}", ">f4") for kind in ("MAG_GAAP", "MAGERR_GAAP") for band in BANDS),
        *((f"EXTINCTION_{band}", ">f4") for band in BANDS),
    ]
)
COLUMNS = (
    *("ID", "RAJ2000", "DECJ2000", "FLUX_RADIUS"),
    *(f"{kind}_{band}" for kind in ("MAG_GAAP", "MAGERR_GAAP") for band in BANDS),
)
"""Columns that the column map of KiDS reads."""


def write_survey(folder: Path, rows: int, seed: int = 1) -> list[Path]:
    """Write a survey of so many rows as FITS tables of one tile each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, first in enumerate(range(0, rows, TILE_ROWS)):
        random = np.random.default_rng((seed, number))
        table = tile_table(number, min(TILE_ROWS, rows - first), random)
        paths.append(folder / f"KiDS_tile_{number:05d}_cat.fits")
        write_table(paths[-1], table)
    return paths


def tile_table(number: int, rows: int, random: np.random.Generator) -> np.ndarray:
    """Draw one tile; its last rows lie on the edge and stand in the next tile of its row too."""
    table = np.zeros(rows, _TYPE)
    ra0, dec0 = 130.0 + number // _TILES_ACROSS, -10.0 + number % _TILES_ACROSS
    ra, dec = ra0 + random.random(rows), dec0 + random.random(rows)
    twice = int(rows * _LISTED_TWICE)
    if twice:  # the same draws for the tile on the other side of the edge
        for edge, place in ((number, slice(0, twice)), (number + 1, slice(-twice, None))):
            shared = np.random.default_rng((99, edge))
            ra[place] = ra0 + shared.random(twice)
            dec[place] = -10.0 + edge % _TILES_ACROSS + (shared.random(twice) - 0.5) / 1800.0
            if edge % _TILES_ACROSS == 0:  # a tile at the survey's border has no neighbour there
                ra[place], dec[place] = ra0 + random.random(twice), dec0 + random.random(twice)
    table["RAJ2000"], table["DECJ2000"] = ra, dec
    table["ID"] = _identifiers(ra, dec)
    table["KIDS_TILE"] = f"KIDS_{ra0:.1f}_{dec0:.1f}".encode()
    table["FLUX_RADIUS"] = random.gamma(4.0, 1.0, rows)
    table["Z_B"] = random.gamma(2.0, 0.3, rows)
    r = 24.5 - random.exponential(1.5, rows).clip(0, 9)
    for band in BANDS:
        magnitude = r + random.normal(0.0, 0.7, rows)
        table[f"MAG_GAAP_{band}"] = magnitude
        table[f"MAGERR_GAAP_{band}"] = 0.01 + 10 ** (0.4 * (magnitude - 26.0))
        table[f"EXTINCTION_{band}"] = 0.05
    missing = random.random(rows) < _MISSING
    table["MAG_GAAP_u"][missing] = 99.0
    return table


def _identifiers(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Write positions as KiDS does, e.g. ``KiDSDR4 J085600.123+001234.56``."""
    milliseconds = (ra * 240_000.0).astype(np.int64)
    centiarcsec = (np.abs(dec) * 360_000.0).astype(np.int64)
    letters = np.zeros((len(ra), 29), np.uint8)
    letters[:, :9] = np.frombuffer(b"KiDSDR4 J", np.uint8)
    letters[:, 19] = np.where(dec < 0, ord("-"), ord("+"))
    for first, value, places in ((9, milliseconds, 3), (20, centiarcsec, 2)):
        whole = value // 10**places
        for k, group in enumerate((whole // 3600, whole // 60 % 60, whole % 60)):
            letters[:, first + 2 * k] = ord("0") + group // 10
            letters[:, first + 2 * k + 1] = ord("0") + group % 10
        letters[:, first + 6] = ord(".")
        for k in range(places):
            letters[:, first + 7 + k] = ord("0") + value // 10 ** (places - 1 - k) % 10
    return letters.view("S29")[:, 0]


def write_table(path: Path, table: np.ndarray) -> None:
    """Write a structured big-endian array as the first extension of a FITS file."""
    codes = {"f4": "E", "f8": "D", "i2": "I", "i4": "J"}
    header = fits.Header([("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2)])
    header["NAXIS1"], header["NAXIS2"] = table.dtype.itemsize, len(table)
    header["PCOUNT"], header["GCOUNT"], header["TFIELDS"] = 0, 1, len(table.dtype.names)
    for k, name in enumerate(table.dtype.names, start=1):
        kind = table.dtype[name]
        header[f"TTYPE{k}"] = name
        header[f"TFORM{k}"] = f"{kind.itemsize}A" if kind.kind == "S" else codes[kind.str[1:]]
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode())
        file.write(header.tostring().encode())
        table.tofile(file)
        file.write(b"\0" * (-(table.nbytes) % 2880))
