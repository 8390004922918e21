"""Regions grown pixel by pixel: connected components and the clumps of the MID statistics.

What is done here follows neighbours from pixel to pixel, which no array operation says; so it is
compiled for the processor, and stamps that live on a GPU come to the host for it. Neighbours are
all eight.
"""

import numpy as np

from kidsclf.compiling import njit
from kidsclf.features.morphology.compiled_order import descending_places

QUANTILE_STEP = 0.02
"""Between levels at which clumps are compared (Peth et al. 2016; statmorph)."""

SEARCH_REACH = 0.06
"""Quantiles to both sides of the best level within which every level is tried: there statmorph's
random hops of 0.02 end up for 96 % of mocks."""

FINEST_STEP = 5e-4
"""Below it a source with one clump at all levels has one clump."""

grown = njit(cache=True, nogil=True, error_model="numpy")


@grown
def _fill(mask, region, stack, y, x):  # type: ignore[no-untyped-def]
    """Mark the component of a pixel, run by run along the rows.

    Runs are put on the stack once from each that they touch: at most twice the pixels in all.
    """
    size_y, size_x = mask.shape
    stack[0] = y * size_x + x
    top = 1
    while top:
        top -= 1
        row, left = divmod(stack[top], size_x)
        if region[row, left]:
            continue
        right = left + 1
        while left > 0 and mask[row, left - 1]:
            left -= 1
        while right < size_x and mask[row, right]:
            right += 1
        region[row, left:right] = True
        for j in (row - 1, row + 1):
            if 0 <= j < size_y:
                top = _seed(mask[j], region[j], stack, top, j * size_x, left, right)


@grown
def _seed(mask, region, stack, top, first, left, right):  # type: ignore[no-untyped-def]
    """Put one pixel of each run of a row that touches a run next to it on the stack."""
    before = False
    for i in range(max(0, left - 1), min(mask.size, right + 1)):
        if mask[i] and not region[i] and not before:
            stack[top] = first + i
            top += 1
        before = mask[i]
    return top


@grown
def component_at(masks, places):  # type: ignore[no-untyped-def]
    """Keep the component of one pixel in each mask.

    Parameters
    ----------
    masks : bool array (n, size, size)
    places : int64 array (n,)
        Index of the pixel in the flattened stamp.

    Returns
    -------
    bool array (n, size, size)
        Empty where the pixel is not set.
    """
    n, size = masks.shape[0], masks.shape[2]
    regions = np.zeros(masks.shape, dtype=np.bool_)
    stack = np.empty(3 * size * size, dtype=np.int64)
    for s in range(n):
        y, x = divmod(places[s], size)
        if masks[s, y, x]:
            _fill(masks[s], regions[s], stack, y, x)
    return regions


@grown
def mid_segments(images, segments, eta):  # type: ignore[no-untyped-def]
    """Shrink each segment to the clump whose faintest light is a share of its mean.

    Pixels are added from the brightest down, and for every level the clump of the brightest pixel
    is known. The level is the quantile of the segment's light that Brent's method finds between the
    faintest and the brightest pixel, as in statmorph: noise can make it cross the share twice.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Not negative, 0 beyond the segment.
    segments : bool array (n, size, size)
    eta : float
        Level of the faintest pixels over the mean of the clump.

    Returns
    -------
    regions : bool array (n, size, size)
    defined : bool array (n,)
        False where even the whole segment does not reach down to that level.
    """
    n, size = images.shape[0], images.shape[2]
    regions = np.zeros(images.shape, dtype=np.bool_)
    defined = np.zeros(n, dtype=np.bool_)
    stack = np.empty(3 * size * size, dtype=np.int64)
    parent = np.empty(size * size, dtype=np.int64)
    light = np.empty(size * size)
    count = np.empty(size * size, dtype=np.int64)
    excess = np.empty(size * size)
    for s in range(n):
        flat = images[s].ravel()
        places = np.flatnonzero(segments[s].ravel())
        if places.size == 0 or flat[places].max() <= 0:
            continue
        order = descending_places(flat, places)
        _clump_levels(flat, order, size, eta, parent, light, count, excess)
        if excess[order.size - 1] > 0.0:
            continue
        rank = _brent(excess, order.size)
        level = flat[order[order.size - 1 - rank]]
        mask = images[s] >= level
        y, x = divmod(np.argmax(flat), size)
        clump = np.zeros((size, size), dtype=np.bool_)
        _fill(mask, clump, stack, y, x)
        _round_off(clump, mask)
        mask[y, x] = True
        _fill(mask, regions[s], stack, y, x)
        defined[s] = True
    return regions, defined


@grown
def _join(parent, count, light, k, size):  # type: ignore[no-untyped-def]
    """Add a pixel and join the clumps that it touches; give the root of its clump."""
    y, x = divmod(k, size)
    mine = k
    for j in range(max(0, y - 1), min(size, y + 2)):
        for i in range(max(0, x - 1), min(size, x + 2)):
            if parent[j * size + i] >= 0:
                other = _root(parent, j * size + i)
                if other != mine:
                    if count[other] < count[mine]:
                        other, mine = mine, other
                    parent[mine] = other
                    count[other] += count[mine]
                    light[other] += light[mine]
                    mine = other
    return mine


@grown
def _clump_levels(flat, order, size, eta, parent, light, count, excess):  # type: ignore[no-untyped-def]
    """Fill the level of each pixel over the mean of the clump above it, less eta, from the top."""
    parent[:] = -1
    start = 0
    for t in range(order.size):
        k = order[t]
        parent[k], count[k], light[k] = k, 1, flat[k]
        _join(parent, count, light, k, size)
        if t + 1 < order.size and flat[order[t + 1]] == flat[k]:
            continue
        root = _root(parent, order[0])
        value = flat[k] * count[root] / light[root] - eta if flat[k] > 0 else -eta
        excess[start : t + 1] = value
        start = t + 1


@grown
def _brent(excess, size):  # type: ignore[no-untyped-def]
    """Find the rank of the root's quantile by Brent's method, as ``scipy.optimize.brentq``."""
    tolerance = 1.0 / size
    before, now, other = 0.0, 1.0, 0.0
    f_before, f_now = excess[size - 1], excess[0]
    f_other, step_before, step = 0.0, 0.0, 0.0
    if f_before == 0.0:
        return 0
    for _ in range(100):
        if f_before != 0.0 and f_now != 0.0 and (f_before < 0.0) != (f_now < 0.0):
            other, f_other = before, f_before
            step_before = step = now - before
        if abs(f_other) < abs(f_now):
            before, now, other = now, other, now
            f_before, f_now, f_other = f_now, f_other, f_now
        delta = 0.5 * (tolerance + 4.0 * np.finfo(np.float64).eps * abs(now))
        half = 0.5 * (other - now)
        if f_now == 0.0 or abs(half) < delta:
            break
        step_before, step = _brent_step(
            before, now, other, f_before, f_now, f_other, step_before, step, half, delta
        )
        before, f_before = now, f_now
        if abs(step) > delta:
            now += step
        else:
            now += delta if half > 0.0 else -delta
        f_now = excess[size - 1 - int(now * (size - 1))]
    return int(now * (size - 1))


@grown
def _brent_step(before, now, other, f_before, f_now, f_other, step_before, step, half, delta):  # type: ignore[no-untyped-def]
    """Choose between a secant or inverse quadratic step and halving the bracket."""
    if abs(step_before) > delta and abs(f_now) < abs(f_before):
        if before == other:
            trial = -f_now * (now - before) / (f_now - f_before)
        else:
            slope = (f_before - f_now) / (before - now)
            slope_other = (f_other - f_now) / (other - now)
            trial = -f_now * (f_other * slope_other - f_before * slope)
            trial /= slope_other * slope * (f_other - f_before)
        if 2.0 * abs(trial) < min(abs(step_before), 3.0 * abs(half) - delta):
            return step, trial
    return half, half


@grown
def _round_off(clump, mask):  # type: ignore[no-untyped-def]
    """Set the pixels whose 3 x 3 neighbourhood, repeated at the edge, is set by more than half."""
    size = clump.shape[0]
    for j in range(size):
        for i in range(size):
            count = 0
            for dj in range(-1, 2):
                for di in range(-1, 2):
                    count += clump[min(size - 1, max(0, j + dj)), min(size - 1, max(0, i + di))]
            mask[j, i] = count > 4


@grown
def _root(parent, k):  # type: ignore[no-untyped-def]
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@grown
def multimode(images, counts):  # type: ignore[no-untyped-def]
    """Compare the two largest clumps at the level where the second counts most.

    Pixels are added from the brightest down and clumps joined as they touch, so the areas at every
    level are known. Levels are tried at quantiles of the source's light 0.02 apart, or half as far
    if there is one clump at all of them, and so on; then every level near the best. The search is
    not wider on purpose: two bright pixels of noise would be the maximum over all levels.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Not negative, 0 beyond the MID segment.
    counts : int64 array (n,)
        Pixels of the source's segment, over which quantiles are counted.

    Returns
    -------
    float64 array (n,)
        A2 / A1 at the level of largest A2^2 / A1 (Freeman et al. 2013, eq. 1; Peth et al. 2016);
        0 where there is one clump at any level.
    """
    n, size = images.shape[0], images.shape[2]
    result = np.zeros(n)
    parent = np.empty(size * size, dtype=np.int64)
    count = np.empty(size * size, dtype=np.int64)
    roots = np.empty(size * size, dtype=np.int64)
    light = np.empty(size * size)
    areas = np.empty((2, size * size + 1))
    for s in range(n):
        flat = images[s].ravel()
        lit = np.flatnonzero(flat > 0)
        order = descending_places(flat, lit)
        _two_largest(flat, order, size, parent, count, light, roots, areas)
        result[s] = _best_ratio(areas, order.size, counts[s])
    return result


@grown
def _two_largest(flat, order, size, parent, count, light, roots, areas):  # type: ignore[no-untyped-def]
    """Fill the areas of the two largest clumps of the brightest 1, 2, 3, ... pixels."""
    parent[:] = -1
    alive, start = 0, 1
    for t in range(order.size):
        k = order[t]
        parent[k], count[k], light[k] = k, 1, 0.0
        roots[alive] = k
        alive += 1
        _join(parent, count, light, k, size)
        if t + 1 < order.size and flat[order[t + 1]] == flat[k]:
            continue
        kept, first, second = 0, 0, 0
        for r in range(alive):
            root = roots[r]
            if parent[root] == root:
                roots[kept] = root
                kept += 1
                if count[root] > first:
                    first, second = count[root], first
                elif count[root] > second:
                    second = count[root]
        alive = kept
        areas[0, start : t + 2] = first
        areas[1, start : t + 2] = second
        start = t + 2


@grown
def _best_ratio(areas, lit, total):  # type: ignore[no-untyped-def]
    """Pick the quantile of largest A2^2 / A1 and give A2 / A1 there."""
    step, best, place = QUANTILE_STEP, 0.0, 0
    while best == 0.0 and step >= FINEST_STEP:
        for g in range(int(np.ceil(1.0 / step - 1e-9))):
            pixels = total - int(g * step * (total - 1))
            if pixels <= lit and areas[1, pixels] ** 2 > best * areas[0, pixels]:
                best, place = areas[1, pixels] ** 2 / areas[0, pixels], pixels
        step *= 0.5
    if best == 0.0:
        return 0.0
    width = int(SEARCH_REACH * total)
    for pixels in range(max(1, place - width), min(lit, place + width) + 1):
        if areas[1, pixels] ** 2 > best * areas[0, pixels]:
            best, place = areas[1, pixels] ** 2 / areas[0, pixels], pixels
    return areas[1, place] / areas[0, place]


@grown
def clump_fluxes(images):  # type: ignore[no-untyped-def]
    """Give every lit pixel to the maximum that it climbs to, and sum the light of each.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Not negative.

    Returns
    -------
    first, second : float64 array (n,)
        Light of the brightest and the second clump; 0 where there is none.
    peak : int64 array (n,)
        Index of the maximum of the brightest in the flattened stamp.
    """
    n, size = images.shape[0], images.shape[2]
    first, second = np.zeros(n), np.zeros(n)
    peak = np.zeros(n, dtype=np.int64)
    uphill = np.empty(size * size, dtype=np.int64)
    flux = np.empty(size * size)
    for s in range(n):
        image = images[s].ravel()
        _climb(images[s], uphill)
        flux[:] = 0.0
        for k in range(size * size):
            if image[k] > 0:
                flux[_root(uphill, k)] += image[k]
        for k in range(size * size):
            if flux[k] > first[s]:
                first[s], second[s], peak[s] = flux[k], first[s], k
            elif flux[k] > second[s]:
                second[s] = flux[k]
    return first, second, peak


@grown
def _climb(image, uphill):  # type: ignore[no-untyped-def]
    """Point every lit pixel to the brightest of itself and its neighbours."""
    size = image.shape[0]
    for y in range(size):
        for x in range(size):
            best, place = image[y, x], y * size + x
            uphill[place] = place
            if not best > 0:
                continue
            for j in range(max(0, y - 1), min(size, y + 2)):
                for i in range(max(0, x - 1), min(size, x + 2)):
                    if image[j, i] > best:
                        best, place = image[j, i], j * size + i
            uphill[y * size + x] = place
