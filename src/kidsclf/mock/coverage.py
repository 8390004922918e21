"""Where the survey has no near-infrared image, and where bright stars spoil it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from kidsclf.mock.layout import Tile, random_generator
from kidsclf.mock.settings import BANDS, MockSettings

FloatArray = NDArray[np.float64]

GAP_SHARE: Final = 0.3  # of tiles
FIRST_INFRARED: Final = BANDS.index("Z")
HALO, SATURATED, EDGE = 1, 2, 4
HALO_MAG_R: Final = 17.0
SATURATION_MAG_R: Final = 16.3
EDGE_PX: Final = 20
MERGING_FWHM: Final = 1.3  # two sources nearer than this become one detection
DEBLENDING_ARCSEC: Final = 2.5


def infrared_gaps(
    settings: MockSettings, tile: Tile, ra: FloatArray, dec: FloatArray
) -> NDArray[np.bool_]:
    """Say which bands have no image at positions in degrees, shape (n, 9).

    Three tiles in ten lack one or all VIKING bands in a rectangle at one corner.
    """
    rng = random_generator(settings, tile, "gaps")
    missing = np.zeros(len(BANDS), dtype=np.bool_)
    chance, everything, width, height = rng.uniform(size=4)
    band = int(rng.integers(FIRST_INFRARED, len(BANDS)))
    missing[band if everything < 0.5 else slice(FIRST_INFRARED, None)] = chance < GAP_SHARE
    corner = rng.choice([-1.0, 1.0], 2)
    east = _wrap(ra - tile.ra_deg) * np.cos(np.radians(tile.dec_deg)) * corner[0]
    north = (dec - tile.dec_deg) * corner[1]
    half = tile.side_deg / 2
    inside = (east > half * (1 - 0.6 * width)) & (north > half * (1 - 0.6 * height))
    return np.asarray(inside[:, None] & missing)


def halo_radius_arcsec(mag_r: FloatArray) -> FloatArray:
    """Return the radius that is masked round stars of r < 17, 0 for the others.

    Examples
    --------
    >>> halo_radius_arcsec(np.array([17.5, 17.0, 14.0])).round(1)
    array([ 0. ,  8. , 22.5])
    """
    return np.where(mag_r <= HALO_MAG_R, 8.0 * 10 ** (0.15 * (HALO_MAG_R - mag_r)), 0.0)


def mask_bits(
    ra: FloatArray, dec: FloatArray, mag_r: FloatArray, bright: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Return the mask bits at the sources' centres: in a halo of any of them, or saturated."""
    bits = np.where(bright & (mag_r < SATURATION_MAG_R), SATURATED, 0).astype(np.int32)
    if len(ra) == 0:
        return bits
    points, reach = _unit_vectors(ra, dec), halo_radius_arcsec(mag_r)
    tree = cKDTree(points)
    for star in np.flatnonzero(bright & (reach > 0)):
        near = tree.query_ball_point(points[star], np.radians(reach[star] / 3600.0))
        bits[near] |= HALO
    return bits


def crowding(
    ra: FloatArray, dec: FloatArray, mag_r: FloatArray, seeing_fwhm_arcsec: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which sources merge into a brighter neighbour, and which were deblended from one."""
    merged, deblended = np.zeros((2, len(ra)), dtype=np.bool_)
    if len(ra) < 2:
        return merged, deblended
    points = _unit_vectors(ra, dec)
    reach = np.radians(DEBLENDING_ARCSEC / 3600.0)
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
    first, second = pairs[:, 0], pairs[:, 1]
    separation = np.linalg.norm(points[first] - points[second], axis=1)
    deblended[pairs] = True
    close = separation < np.radians(MERGING_FWHM * seeing_fwhm_arcsec / 3600.0)
    merged[np.where(mag_r[first] > mag_r[second], first, second)[close]] = True
    return merged, deblended


def _wrap(angle_deg: FloatArray) -> FloatArray:
    return (angle_deg + 180.0) % 360.0 - 180.0


def _unit_vectors(ra: FloatArray, dec: FloatArray) -> FloatArray:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
