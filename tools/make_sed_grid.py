"""Make the table of nine-band fluxes that the mock sky draws its colours from.

The mock ships no spectra and no filter curves, only this small derived table, so that its
templates' licences stay with their owners. Run once; the result is ``mock/sed_grid.npz``:

    python tools/make_sed_grid.py --seds SEDS --filters FILTERS --out src/kidsclf/mock/sed_grid.npz

Every number is a photon-weighted mean of f_nu through a KiDS or VIKING curve,
``int f_nu T dlam/lam / int T dlam/lam``.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

Array = NDArray[np.float64]

BANDS = ("u", "g", "r", "i", "Z", "Y", "J", "H", "Ks")
WAVELENGTHS = 10.0 ** np.arange(np.log10(3000.0), np.log10(24_400.0), 0.001)
CREDITS = (
    "Filters: LePHARE collection (KiDS+VIKING curves by A. Wright). Stars: Pickles 1998 "
    "(PASP 110, 863). Galaxies: Polletta et al. 2007 (ApJ 663, 81), Bruzual & Charlot 2003 "
    "(MNRAS 344, 1000), in the order of Ilbert et al. 2009 (ApJ 690, 1236). Dust: Calzetti et al. "
    "2000 (ApJ 533, 682). IGM: Becker et al. 2013 (MNRAS 430, 2067), Inoue et al. 2014 "
    "(MNRAS 442, 1805). Quasar lines: trends of simqso (McGreer et al. 2013, ApJ 768, 105)."
)

GALAXIES = (
    *(f"Ell{i}_A_0" for i in range(1, 8)),
    *("S0_A_0", "Sa_A_0", "Sa_A_1", "Sb_A_0", "Sb_A_1", "Sc_A_0", "Sc_A_1", "Sc_A_2"),
    *("Sd_A_0", "Sd_A_1", "Sd_A_2", "Sdm_A_0"),
    *(f"SB{i}_A_0" for i in range(12)),
)
GALAXY_REDSHIFTS = np.arange(0.0, 3.001, 0.02)
GALAXY_DUST = np.array([0.0, 0.15, 0.3, 0.6])  # E(B-V), Calzetti

DWARFS = (
    "b8v", "b9v", "a0v", "a2v", "a3v", "a5v", "a7v", "f0v", "f2v", "f5v", "f6v", "f8v", "g0v",
    "g2v", "g5v", "g8v", "k0v", "k2v", "k3v", "k4v", "k5v", "k7v", "m0v", "m1v", "m2v", "m2p5v",
    "m3v", "m4v", "m5v", "m6v",
)  # fmt: skip
GIANTS = ("g5iii", "g8iii", "k0iii", "k1iii", "k2iii", "k3iii", "k4iii", "k5iii", "m0iii")
WHITE_DWARF_LOG_T = np.linspace(np.log10(6000.0), np.log10(35_000.0), 24)

QUASAR_REDSHIFTS = np.arange(0.0, 5.301, 0.02)
QUASAR_SLOPES = np.arange(-3.2, 1.401, 0.2)
CONTINUUM_BREAKS = (1100.0, 5700.0)  # Angstrom
CONTINUUM_PIVOTS = (1100.0, 1450.0, 5700.0)
HOT_DUST_K = 1260.0  # Glikman et al. 2006 (ApJ 640, 579)
# name: (wavelength in Angstrom, FWHM in km/s)
LINES = {
    "Lya_broad": (1215.7, 6500.0),
    "Lya_narrow": (1215.7, 2500.0),
    "NV": (1239.0, 4500.0),
    "SiIV": (1400.0, 5500.0),
    "CIV": (1549.0, 4500.0),
    "HeII": (1640.0, 4000.0),
    "OIII]": (1663.0, 6000.0),
    "CIII]": (1899.0, 6500.0),
    "MgII": (2798.0, 4500.0),
    "Hdelta": (4102.0, 4000.0),
    "Hgamma": (4341.0, 4500.0),
    "Hbeta": (4863.0, 5000.0),
    "[OIII]4960": (4960.0, 700.0),
    "[OIII]5008": (5008.0, 700.0),
    "HeI5877": (5877.0, 4000.0),
    "Halpha": (6564.0, 4000.0),
    "HeI10830": (10830.0, 4500.0),
    "Pabeta": (12821.0, 4500.0),
}
# centre and Gaussian width in Angstrom: Fe II and the Balmer continuum
IRON = {
    "2500": (2500.0, 180.0),
    "3050": (3050.0, 330.0),
    "4570": (4570.0, 80.0),
    "5250": (5250.0, 80.0),
}


def read_filters(folder: Path) -> Array:
    """Read the nine curves as weights T/lam on the wavelength grid, each of unit sum."""
    rows = []
    for band in BANDS:
        curve = Table.read(folder / f"{band}.ecsv", format="ascii.ecsv")
        weight = np.interp(WAVELENGTHS, curve["wavelength"], curve["transmission"], 0.0, 0.0)
        rows.append(np.clip(weight, 0.0, None))  # dlam/lam is constant on this grid
    weights = np.array(rows)
    return weights / weights.sum(axis=1, keepdims=True)


def read_sed(path: Path) -> tuple[Array, Array]:
    """Read a template as rest wavelength in Angstrom and f_nu in arbitrary units."""
    wavelength, f_lambda = np.loadtxt(path, unpack=True)
    wavelength, first = np.unique(wavelength, return_index=True)
    return wavelength, np.clip(f_lambda[first], 0.0, None) * wavelength**2


def calzetti(wavelength: Array) -> Array:
    """Return A(lam)/E(B-V) of Calzetti et al. 2000, eq. 4, extended flat beyond 2.2 micron."""
    x = np.clip(wavelength, 1200.0, 22_000.0) / 1e4
    blue = -2.156 + 1.509 / x - 0.198 / x**2 + 0.011 / x**3
    return 2.659 * np.where(x < 0.63, blue, -1.857 + 1.040 / x) + 4.05


def lyman_continuum(x: Array, z: float) -> Array:
    """Return the Lyman-continuum optical depth of Inoue et al. 2014, eqs. 25-29; x = lam/912."""
    s = 1.0 + z
    if z < 1.2:
        forest = 0.325 * (x**1.2 - s**-0.9 * x**2.1)
    elif z < 4.7:
        near = 0.0255 * (s**1.6 * x**2.1 - x**3.7)
        far = 0.0255 * s**1.6 * x**2.1 + 0.325 * x**1.2 - 0.250 * x**2.1
        forest = np.where(x < 2.2, far, near)
    else:
        lead = 5.22e-4 * s**3.4 * x**2.1
        middle = np.where(x < 5.7, 0.218 * x**2.1 - 0.0255 * x**3.7, -5.22e-4 * x**5.5)
        forest = lead + np.where(x < 2.2, 0.325 * x**1.2 - 0.0314 * x**2.1, middle)
    if z < 2.0:
        damped = 0.211 * s**2 - 0.0766 * s**2.3 * x**-0.3 - 0.135 * x**2
    else:
        damped = 0.0470 * s**3 - 0.0178 * s**3.3 * x**-0.3
        damped += np.where(x < 3.0, 0.634 - 0.135 * x**2 - 0.291 * x**-0.3, -0.0292 * x**3)
    return np.where(x < s, np.clip(forest + damped, 0.0, None), 0.0)


def igm_transmission(z: float) -> Array:
    """Return the mean transmission of the intergalactic medium on the observed grid."""
    depth = np.zeros_like(WAVELENGTHS)
    series = ((1215.67, 1.0), (1025.72, 0.34), (972.54, 0.17), (949.74, 0.11), (937.80, 0.08))
    for line, strength in series:
        absorber = WAVELENGTHS / line  # 1 + z of the absorber
        forest = np.clip(0.751 * (absorber / 4.5) ** 2.9 - 0.132, 0.0, None)
        depth += np.where(absorber < 1.0 + z, strength * forest, 0.0)
    return np.exp(-depth - lyman_continuum(WAVELENGTHS / 911.75, z))


def magnitudes(fluxes: Array) -> Array:
    """Return AB-like magnitudes of mean fluxes, those of zero flux at 90."""
    return -2.5 * np.log10(np.maximum(fluxes, 1e-36))


def galaxy_tables(folder: Path, filters: Array) -> tuple[Array, Array]:
    """Return colours m_band - m_r and K-corrections of r, by template, redshift and dust."""
    shape = (len(GALAXIES), len(GALAXY_REDSHIFTS), len(GALAXY_DUST))
    colours, k_r = np.empty((*shape, len(BANDS))), np.empty(shape)
    r = BANDS.index("r")
    transmissions = [igm_transmission(z) for z in GALAXY_REDSHIFTS]
    for t, name in enumerate(GALAXIES):
        wavelength, f_nu = read_sed(folder / f"{name}.sed")
        for j, z in enumerate(GALAXY_REDSHIFTS):
            rest = WAVELENGTHS / (1.0 + z)
            seen = np.interp(rest, wavelength, f_nu) * transmissions[j]
            dust = 10 ** (-0.4 * GALAXY_DUST[:, None] * calzetti(rest))
            mags = magnitudes((seen * dust) @ filters.T)
            colours[t, j] = mags - mags[:, r : r + 1]
            k_r[t, j] = mags[:, r] - 2.5 * np.log10(1.0 + z)
        k_r[t] -= k_r[t, 0].copy()
    return colours, k_r


def star_colours(folder: Path, names: tuple[str, ...], filters: Array) -> Array:
    """Return colours m_band - m_r of library stars."""
    rows = []
    for name in names:
        wavelength, f_nu = read_sed(folder / f"{name}.sed")
        rows.append(magnitudes(filters @ np.interp(WAVELENGTHS, wavelength, f_nu)))
    mags = np.array(rows)
    return mags - mags[:, BANDS.index("r")][:, None]


def black_body(wavelength: Array, temperature: float) -> Array:
    """Return B_nu in arbitrary units; wavelength in Angstrom, temperature in kelvin."""
    return wavelength**-3.0 / np.expm1(1.43878e8 / (wavelength * temperature))


def white_dwarf_colours(filters: Array) -> Array:
    """Return colours of black bodies with a Balmer jump that peaks at lg T = 4.08."""
    rows = []
    for log_t in WHITE_DWARF_LOG_T:
        mags = magnitudes(filters @ black_body(WAVELENGTHS, 10**log_t))
        jump = np.exp(-0.5 * ((log_t - 4.08) / 0.13) ** 2)
        mags[0] += 0.35 * jump
        mags[1] -= 0.08 * jump
        rows.append(mags - mags[BANDS.index("r")])
    return np.array(rows)


def quasar_tables(filters: Array) -> dict[str, Array]:
    """Return band fluxes of unit continua, lines of unit width, iron humps and hot dust."""
    n = len(QUASAR_REDSHIFTS)
    continuum = np.empty((3, n, len(QUASAR_SLOPES), len(BANDS)))
    lines, iron = np.empty((len(LINES), n, len(BANDS))), np.empty((len(IRON), n, len(BANDS)))
    dust = np.empty((n, len(BANDS)))
    for j, z in enumerate(QUASAR_REDSHIFTS):
        rest, seen = WAVELENGTHS / (1.0 + z), filters * igm_transmission(z)
        segment = np.digitize(rest, CONTINUUM_BREAKS)
        for s, pivot in enumerate(CONTINUUM_PIVOTS):
            power = (rest / pivot) ** -QUASAR_SLOPES[:, None] * (segment == s)
            continuum[s, j] = power @ seen.T
        for k, (centre, fwhm) in enumerate(LINES.values()):
            sigma = centre * fwhm / 2.99792e5 / 2.3548
            profile = np.exp(-0.5 * ((rest - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
            lines[k, j] = seen @ (profile * (rest / centre) ** 2)
        for k, (centre, sigma) in enumerate(IRON.values()):
            iron[k, j] = seen @ np.exp(-0.5 * ((rest - centre) / sigma) ** 2)
        dust[j] = seen @ (black_body(rest, HOT_DUST_K) / black_body(np.array(2e4), HOT_DUST_K))
    return {
        "quasar_continuum": continuum,
        "quasar_lines": lines,
        "quasar_iron": iron,
        "quasar_hot_dust": dust,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seds", type=Path, required=True, help="folder with cosmos/, pickles/")
    parser.add_argument(
        "--filters", type=Path, required=True, help="folder of u.ecsv, ..., Ks.ecsv"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    filters = read_filters(args.filters)
    colours, k_r = galaxy_tables(args.seds / "cosmos", filters)
    pivots = 1.0 / np.sqrt(filters @ WAVELENGTHS**-2.0)
    tables = {
        "galaxy_colours": colours,
        "galaxy_k_r": k_r,
        "dwarf_colours": star_colours(args.seds / "pickles", DWARFS, filters),
        "giant_colours": star_colours(args.seds / "pickles", GIANTS, filters),
        "white_dwarf_colours": white_dwarf_colours(filters),
        **quasar_tables(filters),
    }
    np.savez_compressed(
        args.out,
        **{name: table.astype(np.float32) for name, table in tables.items()},
        bands=BANDS,
        pivot_wavelengths=pivots,
        galaxy_redshifts=GALAXY_REDSHIFTS,
        galaxy_dust=GALAXY_DUST,
        dwarf_types=DWARFS,
        giant_types=GIANTS,
        white_dwarf_log_t=WHITE_DWARF_LOG_T,
        quasar_redshifts=QUASAR_REDSHIFTS,
        quasar_slopes=QUASAR_SLOPES,
        line_names=tuple(LINES),
        line_wavelengths=[wavelength for wavelength, _ in LINES.values()],
        iron_wavelengths=[centre for centre, _ in IRON.values()],
        credits=CREDITS,
    )
    print(f"{args.out}: {args.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
