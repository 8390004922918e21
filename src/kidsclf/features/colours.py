"""The numbers that a network reads off the photometry: magnitudes and adjacent colours."""

from typing import Any


def photometry_features(magnitudes: Any) -> Any:
    """Append the colours of adjacent bands to the magnitudes (Feng et al., §3.1).

    Nine bands give the paper's 17 numbers. Runs on NumPy or CuPy arrays alike: the array
    namespace is that of the input.

    Parameters
    ----------
    magnitudes : float array (n, bands)
        AB magnitudes in the survey's order of wavelength; NaN or infinite where not measured. None
        give none.

    Returns
    -------
    float array (n, 2 * bands - 1), of no bands (n, 0)
        Magnitudes, then ``magnitudes[:, i] - magnitudes[:, i + 1]``, of the input's type; a colour
        is NaN where either of its bands is not measured.

    Examples
    --------
    >>> import numpy as np
    >>> photometry_features(np.array([[20.0, 19.0, 18.5]])).tolist()
    [[20.0, 19.0, 18.5, 1.0, 0.5]]
    """
    xp = magnitudes.__array_namespace__()
    measured = xp.where(xp.isfinite(magnitudes), magnitudes, xp.nan)
    return xp.concat([measured, measured[:, :-1] - measured[:, 1:]], axis=1)
