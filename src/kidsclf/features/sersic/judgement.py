"""What is believed of a fit: values, errors, and a flag for each way to fail."""

from typing import Any

from kidsclf.features.arrays import namespace
from kidsclf.features.sersic.levenberg import Solution
from kidsclf.features.sersic.parameters import (
    Bounds,
    at_bounds,
    by_unknowns,
    covariance,
    readable,
    to_parameters,
)
from kidsclf.features.sersic.record import SPOILT, SersicFits, SersicFlag

LEAST_SIGNAL = 5.0
CENTRE_PX = 5


def judged(solution: Solution, bounds: Bounds, unit: Any, used: Any, usable: Any) -> SersicFits:
    """Turn solutions into numbers, and those that are not to be trusted into NaN and a flag.

    Parameters
    ----------
    solution : Solution
    bounds : Bounds
    unit : float64 array (n,)
        What fluxes are to be multiplied by.
    used : bool array (n, size, size)
        The pixels that were fitted.
    usable : bool array (n,)
        Whether the PSF is.
    """
    xp = namespace(unit)
    parameters, slope = to_parameters(solution.unknowns, bounds)
    equations = by_unknowns(solution.equations, 1.0 / slope)
    low, high = at_bounds(parameters, bounds)
    table = readable(parameters, covariance(equations.curvature, low | high))
    signal = parameters[:, 6] * xp.sqrt(equations.curvature[:, 6, 6])
    conditions = _conditions(low, high, signal, solution.converged, used, usable)
    scaled = {name: unit if name in {"flux", "sky"} else 1.0 for name in table}
    values, errors = ({name: table[name][part] * scaled[name] for name in table} for part in (0, 1))
    for flag, names in SPOILT.items():
        for column in (values, errors):
            present = [name for name in names if name in column]
            column.update({n: xp.where(conditions[flag], xp.nan, column[n]) for n in present})
    flags = sum(
        (xp.astype(condition, xp.int32) * int(flag) for flag, condition in conditions.items()),
        start=xp.zeros(unit.shape, dtype=xp.int32),
    )
    pixels = xp.sum(xp.astype(used, xp.int64), axis=(1, 2))
    degrees = pixels - parameters.shape[1]
    return SersicFits(values, errors, signal, equations.chi2, degrees, solution.iterations, flags)


def _conditions(
    low: Any, high: Any, signal: Any, converged: Any, used: Any, usable: Any
) -> dict[SersicFlag, Any]:
    xp = namespace(signal)
    return {
        SersicFlag.NO_PSF: ~usable,
        SersicFlag.MASKED: _mostly_masked(used),
        SersicFlag.LOW_SIGNAL: ~(signal >= LEAST_SIGNAL),
        SersicFlag.NOT_CONVERGED: ~converged,
        SersicFlag.OFF_CENTRE: xp.any(low[:, 4:6] | high[:, 4:6], axis=1),
        SersicFlag.INDEX_LOW: low[:, 1],
        SersicFlag.INDEX_HIGH: high[:, 1],
        SersicFlag.SIZE_SMALL: low[:, 0],
        SersicFlag.SIZE_LARGE: high[:, 0],
        SersicFlag.TOO_FLAT: xp.any(low[:, 2:4] | high[:, 2:4], axis=1),
    }


def _mostly_masked(used: Any) -> Any:
    xp = namespace(used)
    edge = (used.shape[1] - CENTRE_PX) // 2
    centre = used[:, edge : edge + CENTRE_PX, edge : edge + CENTRE_PX]
    shares = (xp.mean(xp.astype(each, xp.float32), axis=(1, 2)) for each in (used, centre))
    return xp.any(xp.stack([share < 0.5 for share in shares]), axis=0)
