"""Rows close to a border are seen from beyond it, wherever on the sky that is."""

import healpy
import numpy as np
import pytest

from kidsclf.errors import PlanError
from kidsclf.sky.borders import beyond_borders, check_margin
from kidsclf.sky.partition import spatial_index

PLACES = [(0.0, 0.0), (45.0, 41.8), (180.0, -41.81), (10.0, 89.99), (300.0, -90.0), (33.3, 7.7)]


def positions(rng: np.random.Generator, ra0: float, dec0: float, n: int):
    """Draw positions in a tenth of a degree, on the sphere also at a pole."""
    centre = healpy.ang2vec(ra0, dec0, lonlat=True)
    vectors = centre + rng.normal(0, np.radians(0.1), (n, 3))
    return healpy.vec2ang(vectors, lonlat=True)


def pixels_round(ra: float, dec: float, radius_arcsec: float, order: int) -> set[int]:
    """List the pixels in which a position, or a point on a circle round it, lies."""
    centre = healpy.ang2vec(ra, dec, lonlat=True)
    east = np.cross([0.0, 0.0, 1.0], centre)
    east /= np.linalg.norm(east)
    north = np.cross(centre, east)
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    points = centre + np.radians(radius_arcsec / 3600) * (
        np.cos(angle) * east + np.sin(angle) * north
    )
    return set(healpy.vec2pix(1 << order, *points.T, nest=True).tolist())


@pytest.mark.parametrize(("order", "margin"), [(9, 1.0), (13, 1.0), (10, 30.0), (15, 1.0)])
@pytest.mark.parametrize(("ra0", "dec0"), PLACES)
def test_nobody_is_missed_and_few_are_too_many(ra0, dec0, order, margin):
    rng = np.random.default_rng(5)
    ra, dec = positions(rng, ra0, dec0, 400)
    index = spatial_index(ra, dec)
    rows, pixels = beyond_borders(index, order, margin)
    pairs = list(zip(rows.tolist(), pixels.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert (np.diff(rows) >= 0).all()
    own = index >> (2 * (29 - order))
    assert (own[rows] != pixels).all()
    seen = [{int(own[k])} for k in range(len(ra))]
    for row, pixel in pairs:
        seen[row].add(pixel)
    for k in range(len(ra)):
        assert pixels_round(ra[k], dec[k], margin, order) <= seen[k]
    wide = healpy.nside2resol(1 << order, arcmin=True) * 60
    assert len(pairs) <= len(ra) * min(8, 60 * margin / wide)


def test_no_rows_and_no_borders():
    rows, pixels = beyond_borders(np.empty(0, np.int64), 9, 1.0)
    assert len(rows) == len(pixels) == 0


def test_a_margin_wider_than_the_pixels_is_refused():
    assert check_margin(13, 5.0) == 13
    with pytest.raises(PlanError, match=r"5 arcsec.*order 15.*lower ingest\.max_order to 13"):
        check_margin(15, 5.0)
