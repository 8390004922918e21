"""Multimode, intensity and deviation: is there a second clump, how bright, how far off the centre.

Freeman et al. (2013, MNRAS 434, 282), with the definitions of Peth et al. (2016, MNRAS 458, 963).
"""

from dataclasses import dataclass
from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import graphs
from kidsclf.features.morphology.conventions import ETA
from kidsclf.features.morphology.filters import gaussian_smooth
from kidsclf.features.morphology.moments import moments

CLUMP_SIGMA_PX = 1.0
"""Smoothing before clumps are told apart (Peth et al. 2016)."""


@dataclass(frozen=True)
class Mid:
    """The three statistics, float64 arrays (n,), and the segment (n, size, size) they stand on.

    NaN where the segment holds no light.
    """

    multimode: Any
    intensity: Any
    deviation: Any
    segments: Any


def mid_statistics(images: Any, segments: Any, otherwise: Any, otherwise_area: Any) -> Mid:
    """Measure M, I and D.

    The segment is the clump round the brightest pixel whose faintest pixels have a fifth of its
    mean, rounded off by a 3 x 3 majority. M compares areas of the two largest clumps at the level
    where A2^2 / A1 is greatest; I compares the light of the two
    brightest clumps, each pixel belonging to the maximum that it climbs to; D is the distance of
    the brightest maximum from the centroid, in units of the segment's radius.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted; 0 where not usable.
    segments : bool array (n, size, size)
        Pixels of the source.
    otherwise : bool array (n, size, size)
        The segment taken where the source does not reach down to a fifth of its mean.
    otherwise_area : float64 array (n,)
        Pixels of that segment, those beyond the stamps included.

    Returns
    -------
    Mid
    """
    xp = arrays.namespace(images)
    n, size = images.shape[0], images.shape[-1]
    positive = 0.5 * (images + xp.abs(images)) * xp.astype(segments, images.dtype)
    regions, defined = graphs.mid_segments(arrays.to_host(positive), arrays.to_host(segments), ETA)
    regions, defined = arrays.from_host(regions, images), arrays.from_host(defined, images)
    regions = xp.where(defined[:, None, None], regions, otherwise)
    light = positive * xp.astype(regions, images.dtype)
    smooth = gaussian_smooth(light, xp.full((n,), CLUMP_SIGMA_PX, dtype=xp.float64))
    first, second, peak = (
        arrays.from_host(each, images) for each in graphs.clump_fluxes(arrays.to_host(smooth))
    )
    counts = arrays.to_host(segments).sum(axis=(1, 2))
    multimode = arrays.from_host(graphs.multimode(arrays.to_host(light), counts), images)
    sums = moments(light)
    valid = (sums.light > 0) & (first > 0)
    total = xp.where(valid, sums.light, 1.0)
    x = xp.astype(peak % size, xp.float64) - sums.x / total
    y = xp.astype(peak // size, xp.float64) - sums.y / total
    area = xp.where(defined, arrays.count(regions), otherwise_area)
    area = xp.clip(area, 1.0, None)
    return Mid(
        xp.where(valid, multimode, xp.nan),
        xp.where(valid, second / xp.where(valid, first, 1.0), xp.nan),
        xp.where(valid, xp.sqrt(xp.pi / area * (x * x + y * y)), xp.nan),
        regions,
    )
