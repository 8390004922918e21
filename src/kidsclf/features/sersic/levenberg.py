"""Levenberg-Marquardt least squares for many small problems at once, each with its own damping.

Marquardt 1963 (J. SIAM 11, 431), with the damping scaled by the diagonal of the curvature. What is
solved leaves the batch, so that hard problems do not hold up easy ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from kidsclf.features.arrays import namespace

DAMPING = 1e-2
EASED, TIGHTENED = 0.15, 4.0
"""What damping is multiplied by after a step that kept its promise, and one that did not."""

TRUSTED, DOUBTED = 0.7, 0.25
"""Shares of the promised fall of chi-square above and below which damping changes."""

KEPT = 0.1
"""Relative error of a promise after which the next one is known to be a hundred times smaller."""

STUCK = 1e3
"""Damping at which steps are too short to go on."""

SETTLED = 100.0
"""Tolerances by which chi-square may still promise to fall where a problem is solved: its rounding,
or derivatives that are not exact, may hide the last tenths of a deviation."""

UNSEEN = 3.0
"""Tolerances below which a step's promise is taken for granted: it is wrong by a part of itself."""

FOUND = 1e3
"""The same where no step, however short, lowers chi-square: a minimum, whatever the derivatives."""

LONGEST_STEP = 2.0
"""Most that a limited unknown moves at once, in its own unit; the others move in proportion."""

RIDGE = 1e-9
"""Least damping, so that the equations of unknowns that no data tell apart have a solution."""

TINY = 1e-300
"""Curvature that stands for none, so that a problem without data has a solution."""

CHI2_ROUNDING = 1e-6
"""Relative error of sums in single precision: a rise of chi-square by less is none."""


class Equations(NamedTuple):
    """chi-square (n,), minus half its gradient (n, m) and half its curvature (n, m, m), float64."""

    chi2: Any
    gradient: Any
    curvature: Any


class Solution(NamedTuple):
    """Where n problems ended.

    Attributes
    ----------
    unknowns : float64 array (n, m)
    equations : Equations
        At ``unknowns``; of one that ended with a step whose end was not looked at, the curvature
        of the point before, and the chi-square that the step promised, at least 0.
    iterations : int64 array (n,)
    converged : bool array (n,)
    """

    unknowns: Any
    equations: Equations
    iterations: Any
    converged: Any


class _State(NamedTuple):
    """Of the problems that are still worked on; ``row`` is each one's place in the batch."""

    row: Any
    unknowns: Any
    chi2: Any
    gradient: Any
    curvature: Any
    damping: Any


Evaluate = Callable[[Any, Any], Equations]
"""From unknowns (k, m) of the problems at places (k,) to their equations."""


def minimise(
    evaluate: Evaluate,
    start: Any,
    limited: Any,
    *,
    degrees: Any,
    tolerance: Any,
    iterations: int,
) -> Solution:
    """Find the least squares nearest to each start.

    Parameters
    ----------
    evaluate : callable
    start : float64 array (n, m)
    limited : bool array (m,)
        Unknowns that move by no more than ``LONGEST_STEP`` at once.
    degrees : float64 array (n,)
        Degrees of freedom. Where chi-square exceeds them, the tolerance grows in proportion, as the
        model is not better known than it fits.
    tolerance : float64 array (n,)
        A problem ends when a step promises to lower its chi-square by less than ``UNSEEN`` times
        this, and takes that step without looking where it leads: with 1e-3, it is 0.05
        standard deviations long. Where unknowns depend on each other the damped step is shorter
        than the way to the minimum: of fits with a sky and a high index some end 0.27 away. A
        problem also ends when
        a step that promises little more lowers chi-square by nothing, or by just as much, so that
        the next would not.
    iterations : int
        Most evaluations of a problem after the first.

    Returns
    -------
    Solution
    """
    xp = namespace(start)
    row = xp.arange(start.shape[0])
    damping = xp.full(start.shape[:1], DAMPING, dtype=start.dtype)
    state = _State(row, start, *evaluate(start, row), damping)
    ended: list[tuple[_State, Any]] = []
    for iteration in range(1, iterations + 1):
        step, gain = _step(state, state.damping, limited)
        arrived = gain < UNSEEN * _scaled(tolerance, degrees, state)
        arrived = arrived & (state.damping < 1.0)
        ended.append(_leaving(_foreseen(state, step, gain), arrived, iteration))
        going = xp.nonzero(~arrived)[0]
        if going.shape[0] == 0:
            break
        step, gain = xp.take(step, going, axis=0), xp.take(gain, going, axis=0)
        state, fall = _advance(evaluate, _take(state, going), step, gain)
        least = _scaled(tolerance, degrees, state)
        kept = (xp.abs(fall - gain) < KEPT * gain) & (state.damping < DAMPING)
        small = ((xp.abs(fall) < least) | kept) & (gain < SETTLED * least)
        stop = (small & (state.damping < 1.0)) | ~(state.damping < STUCK) | ~xp.isfinite(gain)
        if iteration == iterations:
            stop = xp.ones_like(stop)
        ended.append(_leaving(state, stop, iteration))
        state = _take(state, xp.nonzero(~stop)[0])
        if state.row.shape[0] == 0:
            break
    last, count = _in_order(ended)
    promise = _step(last, xp.clip(last.damping, None, 1.0), limited)[1]
    settled = xp.where(last.damping < STUCK, xp.full_like(promise, SETTLED), FOUND)
    converged = promise < settled * _scaled(tolerance, degrees, last)
    return Solution(last.unknowns, Equations(*last[2:5]), count, converged)


def _scaled(tolerance: Any, degrees: Any, state: _State) -> Any:
    xp = namespace(state.chi2)
    allowed, degrees = (xp.take(each, state.row, axis=0) for each in (tolerance, degrees))
    return allowed * xp.maximum(state.chi2 / degrees, xp.ones_like(degrees))


def _step(state: _State, damping: Any, limited: Any) -> tuple[Any, Any]:
    """Solve the damped equations: the step, and by how much it promises to lower chi-square.

    NaN where the equations are not finite.
    """
    xp = namespace(state.chi2)
    diagonal = xp.linalg.diagonal(state.curvature)
    eye = xp.eye(diagonal.shape[1], dtype=diagonal.dtype)
    damped = state.curvature + ((damping[:, None] + RIDGE) * diagonal + TINY)[:, :, None] * eye
    finite = xp.all(xp.isfinite(damped), axis=(1, 2)) & xp.all(xp.isfinite(state.gradient), axis=1)
    damped = xp.where(finite[:, None, None], damped, eye)
    step = xp.linalg.solve(damped, state.gradient[:, :, None])[:, :, 0]
    longest = xp.max(xp.abs(xp.where(limited, step, 0.0)), axis=1, keepdims=True)
    step = step * (LONGEST_STEP / xp.clip(longest, LONGEST_STEP, None))
    step = xp.where(finite[:, None], step, xp.nan)
    bent = (state.curvature @ step[:, :, None])[:, :, 0]
    return step, xp.sum(step * (2.0 * state.gradient - bent), axis=1)


def _foreseen(state: _State, step: Any, gain: Any) -> _State:
    """Take a step without looking where it leads: by the expansion that it was found with."""
    bent = (state.curvature @ step[:, :, None])[:, :, 0]
    chi2 = namespace(step).clip(state.chi2 - gain, 0.0, None)
    ahead = state.unknowns + step, chi2, state.gradient - bent
    return _State(state.row, *ahead, state.curvature, state.damping)


def _leaving(state: _State, chosen: Any, iteration: int) -> tuple[_State, Any]:
    """Pick the problems that end, with the number of steps they took."""
    xp = namespace(state.chi2)
    rows = xp.nonzero(chosen)[0]
    return _take(state, rows), xp.full(rows.shape, iteration, dtype=xp.int64)


def _advance(evaluate: Evaluate, state: _State, step: Any, gain: Any) -> tuple[_State, Any]:
    """Try one step each, and keep what helps; give the real falls of chi-square."""
    xp = namespace(state.chi2)
    tried = state.unknowns + xp.where(xp.isfinite(step), step, 0.0)
    new = evaluate(tried, state.row)
    fall = state.chi2 - new.chi2
    helps = fall >= -CHI2_ROUNDING * state.chi2
    eased = xp.where(fall > TRUSTED * gain, state.damping * EASED, state.damping)
    damping = xp.where(fall < DOUBTED * gain, state.damping * TIGHTENED, eased)
    kept = [
        xp.where(xp.reshape(helps, (-1,) + (1,) * (after.ndim - 1)), after, before)
        for after, before in zip((tried, *new), state[1:5], strict=True)
    ]
    return _State(state.row, kept[0], kept[1], kept[2], kept[3], damping), fall


def _take(state: _State, rows: Any) -> _State:
    xp = namespace(state.chi2)
    return _State(*(xp.take(each, rows, axis=0) for each in state))


def _in_order(ended: list[tuple[_State, Any]]) -> tuple[_State, Any]:
    xp = namespace(ended[0][0].chi2)
    states, counts = zip(*ended, strict=True)
    joined = _State(*(xp.concat(list(each)) for each in zip(*states, strict=True)))
    order = xp.argsort(joined.row)
    return _take(joined, order), xp.take(xp.concat(list(counts)), order, axis=0)
