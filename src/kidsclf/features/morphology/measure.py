"""Measure the morphology of many sources: prepare stamps, compute the table in windows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kidsclf.errors import InputError
from kidsclf.features import arrays
from kidsclf.features.morphology.feature import Feature
from kidsclf.features.morphology.galaxies import Galaxies
from kidsclf.features.morphology.judgement import FLAGS, columns_of
from kidsclf.features.morphology.segments import detect, outliers, separate
from kidsclf.features.morphology.sky import border_level
from kidsclf.features.morphology.table import FEATURES

WINDOW_EXTENT = 2.5
"""Side of the window that is measured, over the segment's extent from the centre (statmorph)."""

MIN_REACH_PX = 20
"""Smallest reach of a window from its middle; stamps of 41 pixels are never cut."""

MIN_SIZE_PX = 15
"""Smallest stamp: its border and a source of a few pixels."""

MOST_ROWS = 4096
"""Prepared stamps kept at a time: enough that windows of each size are filled."""

BYTES_PREPARED = 7
"""Of a prepared pixel: image, usable, source, hole."""

FLOATS_PER_PIXEL = 32
"""Peak of the arrays that a chunk holds, in single precision: measured 13 to 16 with compiled sums,
29 with array formulas."""

POSITIONS = frozenset({"x", "y", "x_asymmetry", "y_asymmetry"})
"""Columns that count pixels from the first of the stamp."""


def measure(
    stamps: Any,
    noise: Any = None,
    psf: Any = None,
    masks: Any = None,
    features: Sequence[Feature] = FEATURES,
) -> dict[str, Any]:
    """Measure the morphology of the source at the centre of every stamp.

    Level and noise of the sky come from the border of each stamp, the source's segment from what
    stands out; neighbours are masked. The kernels run where the stamps live (NumPy or CuPy).

    Parameters
    ----------
    stamps : float array (n, size, size)
        Maggies, the source at ``size // 2``; NaN where there is no image. At least 15 px a side.
    noise : float array (n, size, size), optional
        Standard deviation of each pixel, maggies; default: that of the empty sky.
    psf : float array (m, m) or (n, m, m), optional
        Any normalisation; needed by ``spread_model`` only.
    masks : bool array (n, size, size), optional
        True for pixels that must not be used.
    features : sequence of Feature, optional
        The columns to compute.

    Returns
    -------
    dict of str to array (n,)
        float32 columns in the order of the features, and ``morphology_flags``, int32, bits of
        ``MorphologyFlag``. A number that a flag spoils is NaN.

    Raises
    ------
    InputError
        If the stamps are not square, too small, or do not fit the other arrays.
    """
    _check(stamps, noise, psf, masks)
    blocks = []
    for block in arrays.row_slices(stamps.shape[0], _block_rows(stamps)):
        pieces = [
            prepare(
                stamps[piece, ...], _rows(noise, piece), _rows(masks, piece), _psf_rows(psf, piece)
            )
            for piece in _pieces(block, arrays.cached_rows(stamps))
        ]
        blocks.append(_by_window(_joined(pieces), features))
    return _columns(blocks, stamps, features)


def prepare(stamps: Any, noise: Any, masks: Any, psf: Any) -> Galaxies:
    """Subtract the sky, find the sources and mask what does not belong to them.

    Parameters
    ----------
    stamps, noise, masks, psf
        As in ``measure``; a chunk of rows.

    Returns
    -------
    Galaxies
        Without a usable pixel or a source in it, the segment is empty.
    """
    xp = arrays.namespace(stamps)
    stamps = xp.astype(stamps, xp.float32)
    good = xp.isfinite(stamps) if masks is None else xp.isfinite(stamps) & ~masks
    if noise is not None:
        noise = xp.astype(noise, xp.float32)
        good = good & xp.isfinite(noise)
    level, sigma = border_level(stamps, good)
    level, sigma = (xp.where(xp.isfinite(each), each, 0.0) for each in (level, sigma))
    if arrays.is_numpy(stamps):
        return Galaxies(*separate(stamps, good, level, sigma), noise, psf)
    images = xp.where(good, stamps - xp.astype(level, xp.float32)[:, None, None], 0.0)
    good = good & ~outliers(images)
    segments, neighbours = detect(images * xp.astype(good, xp.float32), sigma)
    holes = ~good
    good = good & ~neighbours
    images = images * xp.astype(good, xp.float32)
    return Galaxies(images, good, segments & good, holes, noise, psf)


def _by_window(galaxies: Galaxies, features: Sequence[Feature]) -> dict[str, Any]:
    """Measure sources on windows as large as their segments ask for, in the order of the rows.

    A window depends on its own source alone, so that neighbours in the table change nothing.
    """
    xp, size = galaxies.xp, galaxies.images.shape[-1]
    close = arrays.to_host(galaxies.close_reach)
    order, parts = [], []
    for each in np.unique(close):
        reach = min(size // 2, max(MIN_REACH_PX, math.ceil(WINDOW_EXTENT * each)))
        rows = np.flatnonzero(close == each)
        side = min(size, 2 * reach + 1)
        most = arrays.cached_rows(galaxies.images[:, :side, :side])
        for piece in arrays.row_slices(len(rows), most):
            window = galaxies.rows_of(xp.asarray(rows[piece])).middle(reach)
            columns = columns_of(window, features)
            shift = size // 2 - window.images.shape[-1] // 2
            for name in POSITIONS & columns.keys():
                columns[name] = columns[name] + shift
            order.append(rows[piece])
            parts.append(columns)
    back = xp.asarray(np.argsort(np.concatenate(order)))
    return {name: xp.take(xp.concat([each[name] for each in parts]), back) for name in parts[0]}


def _block_rows(stamps: Any) -> int:
    """Say how many prepared stamps are kept, so that sources of like size can share a window."""
    pixels = stamps.shape[-1] ** 2
    work = 4 * FLOATS_PER_PIXEL * pixels * min(MOST_ROWS, arrays.cached_rows(stamps))
    rows = arrays.affordable_rows(stamps, BYTES_PREPARED * pixels + work // MOST_ROWS)
    return min(rows, MOST_ROWS)


def _pieces(block: slice, most: int) -> Iterator[slice]:
    for piece in arrays.row_slices(block.stop - block.start, most):
        yield slice(block.start + piece.start, block.start + piece.stop)


def _rows(stack: Any, rows: slice) -> Any:
    return None if stack is None else stack[rows, ...]


def _psf_rows(psf: Any, rows: slice) -> Any:
    return psf if psf is None or psf.ndim == 2 else psf[rows, ...]


def _joined(pieces: Sequence[Galaxies]) -> Galaxies:
    """Put prepared pieces together again."""
    first = pieces[0]
    if len(pieces) == 1:
        return first

    def join(name: str) -> Any:
        parts = [getattr(each, name) for each in pieces]
        return None if parts[0] is None else first.xp.concat(parts, axis=0)

    shared = first.psf is None or first.psf.ndim == 2
    return Galaxies(
        join("images"),
        join("good"),
        join("segments"),
        join("holes"),
        join("noise"),
        first.psf if shared else join("psf"),
    )


def _columns(
    blocks: Sequence[Mapping[str, Any]], stamps: Any, features: Sequence[Feature]
) -> dict[str, Any]:
    xp = arrays.namespace(stamps)
    if blocks:
        return {name: xp.concat([each[name] for each in blocks]) for name in blocks[0]}
    empty = {feature.name: xp.zeros((0,), dtype=xp.float32) for feature in features}
    return {**empty, FLAGS: xp.zeros((0,), dtype=xp.int32)}


def _check(stamps: Any, noise: Any, psf: Any, masks: Any) -> None:
    """Refuse arrays that do not belong together."""
    if stamps.ndim != 3 or stamps.shape[1] != stamps.shape[2] or stamps.shape[1] < MIN_SIZE_PX:
        raise InputError(
            f"the morphology of stamps of shape {tuple(stamps.shape)} was asked for, but they must "
            f"be (n, size, size) with at least {MIN_SIZE_PX} pixels a side; cut larger stamps"
        )
    for name, each in (("noise", noise), ("masks", masks)):
        if each is not None and each.shape != stamps.shape:
            raise InputError(
                f"{name} of shape {tuple(each.shape)} were given for stamps of shape "
                f"{tuple(stamps.shape)}, but every pixel needs its own; give one a pixel"
            )
    if psf is not None and psf.shape not in {
        (psf.shape[-1],) * 2,
        (stamps.shape[0], *(psf.shape[-1],) * 2),
    }:
        raise InputError(
            f"a PSF of shape {tuple(psf.shape)} was given for {stamps.shape[0]} stamps, but it "
            "must be (m, m) or one such image a stamp; pad or repeat it"
        )
