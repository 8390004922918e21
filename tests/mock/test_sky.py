"""The sky behind the survey: counts, colours and motions against published numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.mock import MockSettings, quasar_counts
from kidsclf.mock.astrometry import gaia_astrometry
from kidsclf.mock.galaxies import draw_sky_galaxies, draw_spectroscopic_galaxies
from kidsclf.mock.layout import scatter_over_cell, space_over_cell, survey_tiles
from kidsclf.mock.quasars import draw_sky_quasars, draw_spectroscopic_quasars
from kidsclf.mock.seds import galaxy_colours, interpolate_rows, load_sed_grid
from kidsclf.mock.settings import BANDS
from kidsclf.mock.sources import KINDS
from kidsclf.mock.spectra import (
    GALAXIES_PER_DEG2,
    QUASARS_PER_DEG2,
    STARS_PER_DEG2,
    gama_spectra,
    natural_chance,
    sdss_spectra,
)
from kidsclf.mock.stars import draw_sky_stars, draw_spectroscopic_stars, make_stars
from kidsclf.mock.tile_sources import draw_own_sources

R_BAND, I_BAND, KS_BAND = BANDS.index("r"), BANDS.index("i"), BANDS.index("Ks")


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize(("limit", "density"), [(14, 250), (17, 970), (20, 2520), (23, 4600)])
def test_star_counts_lie_within_their_poisson_noise(limit: float, density: float) -> None:
    area = 4.0
    stars = draw_sky_stars(area, rng())
    expected = density * area
    assert abs((stars.total_mag_r < limit).sum() - expected) < 4 * np.sqrt(expected)


@pytest.mark.parametrize(
    ("limit", "density", "median_z"),
    [(19.8, 934, 0.21), (21.0, 3060, 0.29), (22.0, 7490, 0.37), (23.0, 17_700, 0.46)],
)
def test_galaxy_counts_and_redshifts(limit: float, density: float, median_z: float) -> None:
    galaxies = draw_sky_galaxies(2.0, rng())
    seen = galaxies.total_mag_r < limit
    # 8 %: the counts come from an integral over other K-corrections than the drawn ones.
    assert seen.sum() / 2.0 == pytest.approx(density, rel=0.08)
    assert np.median(galaxies.redshift[seen]) == pytest.approx(median_z, rel=0.1)


def test_galaxies_in_the_aperture_are_as_many_as_kids_classifies() -> None:
    galaxies = draw_sky_galaxies(2.0, rng())
    # 13,320 per square degree at r < 23, Feng et al. 2025.
    assert (galaxies.gaap_mags[:, R_BAND] < 23).sum() / 2.0 == pytest.approx(13_320, rel=0.08)


@pytest.mark.parametrize(("limit", "density"), [(21, 78.3), (22, 157.6), (23, 277.0)])
def test_quasar_counts_of_the_luminosity_function(limit: float, density: float) -> None:
    _, mag = quasar_counts.cell_middles()
    assert (quasar_counts.expected_counts() * (mag < limit)).sum() == pytest.approx(
        density, rel=0.01
    )
    drawn = draw_sky_quasars(20.0, rng())
    assert (drawn.nucleus_mag_r < limit).sum() / 20.0 == pytest.approx(density, rel=0.1)


def test_luminosity_function_is_continuous_where_its_halves_meet() -> None:
    mags = np.linspace(-28, -20, 9)
    below, above = (quasar_counts.luminosity_function(mags, np.array(z)) for z in (2.199, 2.201))
    np.testing.assert_allclose(below, above, rtol=0.01)


def test_colours_of_library_stars() -> None:
    dwarfs = load_sed_grid().dwarf_colours
    a0, m3 = dwarfs[2], dwarfs[26]
    assert -a0[KS_BAND] == pytest.approx(-1.68, abs=0.02)
    assert -m3[I_BAND] == pytest.approx(1.16, abs=0.02)
    assert -m3[KS_BAND] == pytest.approx(2.20, abs=0.02)
    halfway = interpolate_rows(dwarfs, np.array([2.5]))[0]
    np.testing.assert_allclose(halfway, (dwarfs[2] + dwarfs[3]) / 2)


def test_stellar_locus_is_narrow() -> None:
    stars = make_stars("KM dwarf", np.full(3000, 20.0), rng())
    r_i, g_r = (
        stars.gaap_mags[:, R_BAND] - stars.gaap_mags[:, I_BAND],
        -np.diff(stars.gaap_mags[:, 1:3])[:, 0],
    )
    assert 0.3 < np.median(r_i) < 1.3
    locus = np.polynomial.Polynomial.fit(r_i, g_r, 3)
    assert np.std(g_r - locus(r_i)) < 0.08


def test_elliptical_redshifts_and_dims() -> None:
    z = np.array([0.0, 0.3, 0.6])
    colours, k_r = galaxy_colours(np.full(3, 4.0), z, np.zeros(3))
    assert (np.diff(colours[:, 1] - colours[:, 3]) > 0).all()
    assert k_r[0] == pytest.approx(0.0, abs=1e-6)
    assert (np.diff(k_r) > 0).all()


def test_spectroscopic_samples_have_the_magnitudes_of_sdss() -> None:
    # r at 5, 50, 95 %: the prototype's, themselves within 0.4 mag of a real SDSS DR17 sample.
    for sources, expected in (
        (draw_spectroscopic_stars(4000, rng()), (16.0, 18.6, 21.2)),
        (draw_spectroscopic_quasars(4000, rng()), (18.3, 20.7, 22.0)),
        (draw_spectroscopic_galaxies(4000, rng()), (17.1, 19.2, 21.6)),
    ):
        found = np.percentile(sources.gaap_mags[:, R_BAND], [5, 50, 95])
        np.testing.assert_allclose(found, expected, atol=0.45)


def test_host_dominated_nuclei_are_extended() -> None:
    quasars = draw_spectroscopic_quasars(3000, rng())
    drowned = quasars.kind == KINDS.index("host-dominated AGN")
    assert drowned.mean() == pytest.approx(0.045, abs=0.015)
    assert np.median(quasars.point_fraction[drowned]) < 0.25
    assert np.median(quasars.half_light_radius_arcsec[drowned]) > 0.7


def test_natural_spectra_are_as_many_as_sdss_took() -> None:
    area = 8.0
    for sources, density in (
        (draw_sky_stars(area, rng()), STARS_PER_DEG2),
        (draw_sky_quasars(area, rng()), QUASARS_PER_DEG2),
        (draw_sky_galaxies(area, rng()), GALAXIES_PER_DEG2),
    ):
        assert natural_chance(sources).sum() / area == pytest.approx(density, rel=0.3)


def test_gaia_stars_move_and_nothing_else_does() -> None:
    settings_ = MockSettings(catalogue_rows=50_000)
    tile = survey_tiles(settings_)[0]
    sources = draw_own_sources(settings_, tile, len(survey_tiles(settings_)))
    table = {
        name: values for name, (values, _) in gaia_astrometry(sources, settings_, tile).items()
    }
    motion2 = table["pmra"] ** 2 + table["pmdec"] ** 2
    error2 = (table["pmra"] * table["pmra_error"]) ** 2 + (
        table["pmdec"] * table["pmdec_error"]
    ) ** 2
    sure = np.abs(table["parallax"]) / table["parallax_error"] >= 5
    sure |= motion2 / np.sqrt(error2) >= 5
    # KiDS has about 2550 per square degree (Feng et al. 2025), all matched in nine bands; some
    # 4 % of those counted here are not measured in all nine.
    assert sure.sum() / tile.side_deg**2 == pytest.approx(2550, rel=0.2)
    from astropy.coordinates import SkyCoord

    moving = SkyCoord(table["ra"][sure], table["dec"][sure], unit="deg")
    quasars = sources.take(sources.sky_class != 0)
    separation = moving.match_to_catalog_sky(SkyCoord(quasars.ra, quasars.dec, unit="deg"))[1]
    assert (separation.arcsec < 0.01).sum() <= 5


def test_wrong_labels_are_as_many_as_specified() -> None:
    settings_ = MockSettings(area_deg2=0.1, labelled=40_000)
    tiles = survey_tiles(settings_)
    sources = draw_own_sources(settings_, tiles[0], len(tiles))
    labelled = sources.take(sources.labelled)
    labels = sdss_spectra(labelled, settings_, tiles[0])["CLASS"][0][: len(labelled)]
    names = np.array(["STAR", "QSO", "GALAXY"])[labelled.sky_class]
    assert np.mean(labels != names) == pytest.approx(0.0055, abs=0.0025)


def test_gama_is_nearly_all_galaxies() -> None:
    settings_ = MockSettings(catalogue_rows=100_000)
    tiles = survey_tiles(settings_)
    sources = draw_own_sources(settings_, tiles[0], len(tiles))
    z = gama_spectra(sources, settings_, tiles[0])["Z"][0]
    assert len(z) / tiles[0].side_deg ** 2 == pytest.approx(934, rel=0.12)
    assert np.mean((z > 0.002) & (z < 0.6)) == pytest.approx(0.985, abs=0.01)


@settings(max_examples=30, deadline=None)
@given(
    ra=st.floats(0, 360),
    dec=st.floats(-60, 60),
    area=st.floats(0.01, 20),
    seed=st.integers(0, 2**32),
)
def test_cells_keep_their_sources(ra: float, dec: float, area: float, seed: int) -> None:
    tiles = survey_tiles(MockSettings(area_deg2=area, ra_deg=ra, dec_deg=dec))
    assert sum(tile.side_deg**2 for tile in tiles) == pytest.approx(area)
    assert len({tile.name for tile in tiles}) == len(tiles)
    tile = tiles[seed % len(tiles)]
    generator = np.random.default_rng(seed)
    for place in (scatter_over_cell, space_over_cell):
        ras, decs = place(tile, 50, generator)
        assert ((ras >= 0) & (ras < 360)).all()
        assert (np.abs(decs - tile.dec_deg) <= tile.side_deg / 2 + 1e-9).all()
        east = (ras - tile.ra_deg + 180) % 360 - 180
        half = tile.side_deg / 2 / np.cos(np.radians(tile.dec_deg))
        assert (np.abs(east) <= half + 1e-9).all()
