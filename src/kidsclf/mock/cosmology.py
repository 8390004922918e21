"""Distances and volumes of a flat universe with a cosmological constant."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

HUBBLE_KM_S_MPC: Final = 70.0
OMEGA_MATTER: Final = 0.3
_SPEED_OF_LIGHT_KM_S: Final = 299_792.458
_DEG2_OF_SKY: Final = 4.0 * np.pi * np.degrees(1.0) ** 2
_Z: Final[FloatArray] = np.linspace(0.0, 6.0, 6001)
_EXPANSION: Final[FloatArray] = np.sqrt(OMEGA_MATTER * (1.0 + _Z) ** 3 + 1.0 - OMEGA_MATTER)
_HUBBLE_DISTANCE: Final = _SPEED_OF_LIGHT_KM_S / HUBBLE_KM_S_MPC
_STEPS: Final = np.diff(_Z) * 0.5 * (1.0 / _EXPANSION[1:] + 1.0 / _EXPANSION[:-1])
_COMOVING_MPC: Final[FloatArray] = _HUBBLE_DISTANCE * np.concatenate(([0.0], np.cumsum(_STEPS)))


def comoving_distance_mpc(z: FloatArray) -> FloatArray:
    """Return the line-of-sight comoving distance in Mpc, 0 <= z <= 6.

    Examples
    --------
    >>> round(float(comoving_distance_mpc(np.array(1.0))))
    3304
    """
    return np.asarray(np.interp(z, _Z, _COMOVING_MPC), dtype=np.float64)


def distance_modulus(z: FloatArray) -> FloatArray:
    """Return m - M in mag, without K-correction (Hogg 1999, astro-ph/9905116, eq. 25)."""
    return 5.0 * np.log10(np.maximum(comoving_distance_mpc(z) * (1.0 + z), 1e-5)) + 25.0


def kpc_per_arcsec(z: FloatArray) -> FloatArray:
    """Return the proper transverse size of one arcsecond (Hogg 1999, eq. 18)."""
    per_radian = comoving_distance_mpc(z) / (1.0 + z) * 1e3
    return np.asarray(per_radian / np.degrees(1.0) / 3600.0, dtype=np.float64)


def volume_per_deg2(z: FloatArray) -> FloatArray:
    """Return the comoving volume element dV/dz in Mpc^3 per square degree (Hogg 1999, eq. 28)."""
    expansion = np.interp(z, _Z, _EXPANSION)
    shell = 4.0 * np.pi * _HUBBLE_DISTANCE * comoving_distance_mpc(z) ** 2 / expansion
    return np.asarray(shell / _DEG2_OF_SKY, dtype=np.float64)
