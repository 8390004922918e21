"""Spectroscopic labels: which sources the SDSS- and GAMA-like surveys took, and what they say."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock import galaxies, quasar_counts, stars
from kidsclf.mock.fits_tables import Columns
from kidsclf.mock.layout import Tile, random_generator, scatter_over_cell
from kidsclf.mock.settings import MockSettings, R
from kidsclf.mock.sources import CLASS_NAMES, GALAXY, KINDS, QSO, STAR, Sources
from kidsclf.mock.tile_sources import SPECTROSCOPIC_COUNTS

FloatArray = NDArray[np.float64]

SDSS_AREA_DEG2: Final = 1350.0
STARS_PER_DEG2, QUASARS_PER_DEG2, GALAXIES_PER_DEG2 = (
    count / SDSS_AREA_DEG2 for count in SPECTROSCOPIC_COUNTS
)
WRONG_LABELS: Final = {
    STAR: ((GALAXY, 0.005), (QSO, 0.003)),
    QSO: ((GALAXY, 0.010), (STAR, 0.006)),
    GALAXY: ((STAR, 0.001), (QSO, 0.002)),
}
WARNING_SHARE: Final = 0.03
UNMATCHED_SHARE: Final = 0.02
"""Spectra of targets that no catalogue row stands at."""
STELLAR_VELOCITY_Z: Final = 150.0 / 299_792.458
SUBCLASSES: Final = {
    "FGK dwarf": "G2", "metal-poor dwarf": "F5", "giant": "K0III", "KM dwarf": "M2",
    "A or BHB": "A0", "white dwarf": "WD", "white dwarf + M": "CV", "brown dwarf": "L1",
    "quasar": "BROADLINE", "AGN in host": "BROADLINE", "host-dominated AGN": "AGN BROADLINE",
    "red galaxy": "", "spiral galaxy": "STARFORMING", "starburst galaxy": "STARBURST",
}  # fmt: skip

GAMA_LIMIT_R: Final = 19.8
GAMA_COMPLETENESS: Final = 0.98
GAMA_STAR_SHARE, GAMA_NEAR_QSO_SHARE, GAMA_FAR_QSO_SHARE = 0.012, 0.008, 0.003
GAMA_QUALITY: Final = ((4, 3, 2, 1), (0.85, 0.10, 0.03, 0.02))


def sdss_spectra(sources: Sources, settings: MockSettings, tile: Tile) -> Columns:
    """Return the SDSS specObj rows of a tile: every added source, and natural ones at random."""
    rng = random_generator(settings, tile, "sdss")
    natural = rng.uniform(size=len(sources)) < natural_chance(sources)
    chosen = sources.take(sources.labelled | natural)
    n, lost = len(chosen), int(rng.poisson(UNMATCHED_SHARE * len(chosen)))
    label = np.concatenate([_mislabel(chosen.sky_class, rng), rng.integers(0, 3, lost)])
    kinds = np.array([SUBCLASSES[kind] for kind in KINDS], dtype="U21")
    nowhere = scatter_over_cell(tile, lost, rng)
    stellar = rng.normal(0.0, STELLAR_VELOCITY_Z, n + lost)
    redshift = np.concatenate([chosen.redshift, rng.gamma(2.0, 0.2, lost)])
    redshift = np.where(label == STAR, stellar, redshift)
    fibre_error = rng.normal(0.0, 0.1 / 3600.0, (2, n + lost))
    return {
        "SPECOBJID": (spectrum_names(tile.index + 1, n + lost), ""),
        "PLUG_RA": ((np.concatenate([chosen.ra, nowhere[0]]) + fibre_error[0]) % 360.0, "deg"),
        "PLUG_DEC": (np.concatenate([chosen.dec, nowhere[1]]) + fibre_error[1], "deg"),
        "SPECPRIMARY": (np.ones(n + lost, dtype=np.uint8), ""),
        "CLASS": (np.array(CLASS_NAMES)[label], ""),
        "SUBCLASS": (np.concatenate([kinds[chosen.kind], np.full(lost, "")]), ""),
        "Z": (redshift.astype(np.float32), ""),
        "Z_ERR": ((1e-5 + 1e-4 * rng.uniform(size=n + lost)).astype(np.float32), ""),
        "ZWARNING": (_warnings(n + lost, rng), ""),
    }


def natural_chance(sources: Sources) -> FloatArray:
    """Return the chance that a natural source has an SDSS spectrum: its density over the sky's."""
    mag, chance = sources.gaap_mags[:, R], np.zeros(len(sources))
    kind = np.array(KINDS)[sources.kind]
    for name in stars.SKY_KINDS:
        members = {name, "metal-poor dwarf"} if name == "FGK dwarf" else {name}
        wanted = sum(
            _normal(mag, mean, width) * share * STARS_PER_DEG2
            for target, share, mean, width in stars.SPECTROSCOPIC_MIX
            if target in members
        )
        rows = np.isin(kind, list(members))
        chance[rows] = (wanted / np.maximum(stars.sky_density(name, mag), 1e-3))[rows]
    quasars, gals = sources.sky_class == QSO, sources.sky_class == GALAXY
    chance[quasars] = _quasar_chance(sources.redshift, sources.nucleus_mag_r)[quasars]
    chance[gals] = _galaxy_chance(sources, mag)[gals]
    return np.clip(chance, 0.0, 1.0)


def gama_spectra(sources: Sources, settings: MockSettings, tile: Tile) -> Columns:
    """Return the GAMA-like redshifts of a tile: galaxies of r < 19.8, some stars and quasars."""
    rng = random_generator(settings, tile, "gama")
    bright = sources.total_mag_r < GAMA_LIMIT_R
    complete = rng.uniform(size=len(sources)) < GAMA_COMPLETENESS
    nearby = (sources.sky_class == GALAXY) & (sources.redshift < 0.6)
    gals = np.flatnonzero(bright & complete & nearby)
    quasars = bright & (sources.sky_class == QSO)
    picks = [gals]
    for pool, share in (
        (bright & (sources.sky_class == STAR), GAMA_STAR_SHARE),
        (quasars & (sources.redshift < 0.5), GAMA_NEAR_QSO_SHARE),
        (quasars & (sources.redshift > 0.8), GAMA_FAR_QSO_SHARE),
    ):
        candidates = rng.permutation(np.flatnonzero(pool))
        picks.append(candidates[: rng.poisson(share / 0.977 * len(gals))])
    rows = np.sort(np.concatenate(picks))
    stellar = rng.uniform(-0.002, 0.002, len(rows))
    redshift = np.where(sources.sky_class[rows] == STAR, stellar, sources.redshift[rows])
    return {
        "CATAID": (tile.index * 1_000_000 + np.arange(1, len(rows) + 1, dtype=np.int64), ""),
        "RA": (sources.ra[rows], "deg"),
        "DEC": (sources.dec[rows], "deg"),
        "Z": (redshift.astype(np.float32), ""),
        "NQ": (rng.choice(GAMA_QUALITY[0], len(rows), p=GAMA_QUALITY[1]).astype(np.int16), ""),
    }


def spectrum_names(series: int, count: int) -> NDArray[np.str_]:
    """Return identifiers of a series of spectra.

    Examples
    --------
    >>> spectrum_names(3, 2).tolist()
    ['00000003000000000', '00000003000000001']
    """
    return np.array([f"{series:08d}{number:09d}" for number in range(count)], dtype="U17")


def _mislabel(true: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int64]:
    label, chance = true.astype(np.int64), rng.uniform(size=len(true))
    for truth, ((first, share), (second, other)) in WRONG_LABELS.items():
        label[(true == truth) & (chance < share)] = first
        label[(true == truth) & (chance >= share) & (chance < share + other)] = second
    return label


def _warnings(count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    bits = rng.choice([4, 16, 36, 128], count)
    return np.where(rng.uniform(size=count) < WARNING_SHARE, bits, 0).astype(np.int32)


def _normal(x: FloatArray, mean: float, width: float) -> FloatArray:
    density = np.exp(-0.5 * ((x - mean) / width) ** 2) / (width * np.sqrt(2.0 * np.pi))
    return np.asarray(density, dtype=np.float64)


def _quasar_chance(z: FloatArray, mag: FloatArray) -> FloatArray:
    cells = quasar_counts.cell_middles()
    complete = quasar_counts.spectroscopic_completeness(*cells) * quasar_counts.expected_counts()
    scale = QUASARS_PER_DEG2 / complete.sum()
    chance = np.minimum(scale, 1.0) * quasar_counts.spectroscopic_completeness(z, mag)
    return np.asarray(chance, dtype=np.float64)


def _galaxy_chance(sources: Sources, mag: FloatArray) -> FloatArray:
    wanted = sum(
        _normal(mag, *targets.mag_r) * targets.share * GALAXIES_PER_DEG2
        for targets in galaxies.SPECTROSCOPIC_MIX.values()
    )
    # Natural galaxies per square degree and aperture magnitude, 17 < r < 22, from the mock itself.
    there = 10 ** (2.62 + 0.43 * (mag - 19.5))
    early = np.array(KINDS)[sources.kind]
    favour = np.where(mag < 19.5, 1.0, np.where(early == "red galaxy", 1.8, 0.2))
    return np.asarray(wanted / there * favour)
