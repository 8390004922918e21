"""Minimise many functions of two variables at once: the simplex method of Nelder & Mead (1965).

Every source takes the steps that ``scipy.optimize.fmin`` would take for it alone; those that have
arrived are not evaluated any more.
"""

from collections.abc import Callable
from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology.conventions import FIRST_STEP, MOST_STEPS

Function = Callable[[Any, Any, Any], Any]
"""Of x (m,), y (m,) and the rows (m,) they belong to; gives the values (m,)."""


def minimise(
    function: Function, x: Any, y: Any, wanted: Any, tolerance_px: float, tolerance: float
) -> tuple[Any, Any, Any]:
    """Find a minimum near each start.

    Parameters
    ----------
    function : callable of (x, y, rows)
        Values (m,) at points (m,), for the sources of ``rows``.
    x, y : float64 array (n,)
        Where to start; the first simplex reaches ``FIRST_STEP`` further along each axis.
    wanted : bool array (n,)
        Sources to move at all.
    tolerance_px, tolerance : float
        Size of the simplex, and spread of its values, at which a source has arrived.

    Returns
    -------
    x, y : float64 array (n,)
    arrived : bool array (n,)
    """
    xp = arrays.namespace(x)
    stretch = 1.0 + FIRST_STEP
    points = xp.stack([xp.stack([x, x * stretch, x]), xp.stack([y, y, y * stretch])])
    values = xp.stack([_at(function, points[:, k, :], wanted, x) for k in range(3)])
    points, values = _sorted(xp, points, values)
    for _ in range(MOST_STEPS):
        moving = wanted & ~_arrived(xp, points, values, tolerance_px, tolerance)
        if not bool(xp.any(moving)):
            break
        points, values = _step(xp, function, points, values, moving)
    return points[0, 0, :], points[1, 0, :], _arrived(xp, points, values, tolerance_px, tolerance)


def _arrived(xp: Any, points: Any, values: Any, tolerance_px: float, tolerance: float) -> Any:
    size = xp.max(xp.abs(points[:, 1:, :] - points[:, :1, :]), axis=(0, 1))
    spread = xp.max(xp.abs(values[1:, :] - values[:1, :]), axis=0)
    return (size <= tolerance_px) & (spread <= tolerance)


def _step(xp: Any, function: Function, points: Any, values: Any, moving: Any) -> tuple[Any, Any]:
    """Reflect the worst corner, then stretch or contract, or shrink the simplex."""
    worst = points[:, 2, :]
    middle = 0.5 * (points[:, 0, :] + points[:, 1, :])
    reflected = 2.0 * middle - worst
    f_reflected = _at(function, reflected, moving, values[2, :])
    best, better = f_reflected < values[0, :], f_reflected < values[1, :]
    outside = f_reflected < values[2, :]
    inwards = xp.astype(outside, xp.float64) - 0.5
    factor = xp.where(best, 2.0, inwards)
    second = middle + factor * (middle - worst)
    f_second = _at(function, second, moving & (best | ~better), values[2, :])
    keep_second = xp.where(
        best,
        f_second < f_reflected,
        ~better & xp.where(outside, f_second <= f_reflected, f_second < values[2, :]),
    )
    keep = moving & (keep_second | better)
    point = xp.where(keep_second, second, reflected)
    value = xp.where(keep_second, f_second, f_reflected)
    corner = xp.where(keep, point, worst)
    moved = xp.stack([points[:, 0, :], points[:, 1, :], corner], axis=1)
    f_moved = xp.stack([values[0, :], values[1, :], xp.where(keep, value, values[2, :])])
    shrink = moving & ~keep
    if bool(xp.any(shrink)):
        towards = 0.5 * (points + points[:, :1, :])
        moved = xp.where(shrink, towards, moved)
        for k in (1, 2):
            fresh = _at(function, moved[:, k, :], shrink, f_moved[k, :])
            f_moved = xp.concat([f_moved[:k, :], fresh[None, :], f_moved[k + 1 :, :]])
    return _sorted(xp, moved, f_moved)


def _at(function: Function, point: Any, wanted: Any, otherwise: Any) -> Any:
    """Evaluate at the points wanted and leave other sources' values as they are."""
    xp = arrays.namespace(point)
    rows = xp.nonzero(wanted)[0]
    if rows.shape[0] == 0:
        return otherwise
    values = function(xp.take(point[0, :], rows), xp.take(point[1, :], rows), rows)
    return arrays.spread(values, wanted, otherwise)


def _sorted(xp: Any, points: Any, values: Any) -> tuple[Any, Any]:
    order = xp.argsort(values, axis=0, stable=True)
    return (
        xp.stack([xp.take_along_axis(points[k, :, :], order, axis=0) for k in range(2)]),
        xp.take_along_axis(values, order, axis=0),
    )
