"""Sources told from sky and neighbours, as compiled loops for a processor.

They take the steps of ``segments`` one stamp after the other, which stays in the nearest cache.
"""

import numpy as np

from kidsclf.compiling import njit
from kidsclf.features.morphology.compiled_smoothing import box3, outliers
from kidsclf.features.morphology.graphs import component_at

told = njit(cache=True, nogil=True, error_model="numpy")


@told
def separate(stamps, usable, level, threshold, sigmas, reach):  # type: ignore[no-untyped-def]
    """Find the source at the centre of each stamp, and mask all others; see ``segments``.

    Parameters
    ----------
    stamps : float32 array (n, size, size)
    usable : bool array (n, size, size)
    level, threshold : float32 arrays (n,)
        Of the sky, and what smoothed pixels of a source exceed above it.
    sigmas : float
        Scatter of its neighbours by which an outlier differs from their mean.
    reach : int
        How far from the middle the source is looked for, pixels.

    Returns
    -------
    images : float32 array (n, size, size)
        Less the level; 0 where not ``good``.
    good, segments, holes : bool arrays (n, size, size)
    """
    n, size = stamps.shape[0], stamps.shape[1]
    images = np.empty(stamps.shape, dtype=np.float32)
    good, segments, holes = np.empty((3, n, size, size), dtype=np.bool_)
    seen, place = np.empty((1, size, size), dtype=np.float32), np.empty(1, dtype=np.int64)
    for s in range(n):
        image, hole = images[s], holes[s]
        for j in range(size):
            for i in range(size):
                image[j, i] = stamps[s, j, i] - level[s] if usable[s, j, i] else np.float32(0)
        odd = outliers(images[s : s + 1], sigmas)[0]
        for j in range(size):
            for i in range(size):
                hole[j, i] = odd[j, i] or not usable[s, j, i]
                seen[0, j, i] = np.float32(0) if hole[j, i] else image[j, i]
        smooth = box3(seen)
        above = smooth > threshold[s]
        place[0] = _brightest_near_middle(smooth[0], reach)
        own = component_at(above, place)
        _mask_neighbours(image, hole, above[0], own[0], good[s], segments[s])
    return images, good, segments, holes


@told
def _brightest_near_middle(image, reach):  # type: ignore[no-untyped-def]
    """Give the index of the brightest pixel within reach of the middle in x and y."""
    size = image.shape[0]
    start, best = size // 2 - reach, (size // 2 - reach) * (size + 1)
    for j in range(start, start + 2 * reach + 1):
        for i in range(start, start + 2 * reach + 1):
            if image[j, i] > image[best // size, best % size]:
                best = j * size + i
    return best


@told
def _mask_neighbours(image, hole, above, own, good, segment):  # type: ignore[no-untyped-def]
    """Keep usable pixels that belong to no other region; the others are 0."""
    size = image.shape[0]
    for j in range(size):
        for i in range(size):
            good[j, i] = not hole[j, i] and (own[j, i] or not above[j, i])
            segment[j, i] = own[j, i] and good[j, i]
            image[j, i] = image[j, i] if good[j, i] else np.float32(0)
