"""What stands in the way of a chunk's sources, and the columns with what it spoils withheld."""

from collections.abc import Sequence
from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_light
from kidsclf.features.morphology.apertures import aperture_sums
from kidsclf.features.morphology.feature import Feature
from kidsclf.features.morphology.filters import box3_smooth
from kidsclf.features.morphology.flags import MorphologyFlag as Flag
from kidsclf.features.morphology.galaxies import EXTENT, Galaxies
from kidsclf.features.morphology.smoothness import box_width

FLAGS = "morphology_flags"
"""Name of the column of flags."""

MIN_SN_PER_PIXEL = 2.0
"""Below it noise moves statistics of structure by more than a tenth (Lotz et al. 2004, §4)."""

MOST_CUT_OFF = 0.1
"""Of the aperture of 1.5 Petrosian radii."""

LEAST_OVERLAP = 0.25
"""Of the segments of Gini and MID, over the larger (statmorph)."""


def columns_of(galaxies: Galaxies, features: Sequence[Feature]) -> dict[str, Any]:
    """Compute a chunk's features and flags, and withhold the numbers that flags spoil.

    Parameters
    ----------
    galaxies : Galaxies
    features : sequence of Feature

    Returns
    -------
    dict of str to array (n,)
        float32 columns, and int32 flags.
    """
    xp = galaxies.xp
    flags = flags_of(galaxies)
    columns = {}
    for feature in features:
        value = xp.astype(feature.compute(galaxies), xp.float32)
        spoiled = (flags & int(feature.spoiled_by)) != 0
        columns[feature.name] = xp.where(spoiled, xp.asarray(xp.nan, dtype=xp.float32), value)
    columns[FLAGS] = flags
    return columns


def flags_of(galaxies: Galaxies) -> Any:
    """Say what stands in the way of a chunk's sources, int32 array (n,) of ``MorphologyFlag``."""
    xp, g = galaxies.xp, galaxies
    n = g.images.shape[0]
    radius = EXTENT * g.petrosian[0]
    covered = aperture_sums(g.images, g.good, g.rows, g.circle, radius)[1]
    raised = {
        Flag.NO_IMAGE: ~xp.any(g.good, axis=(1, 2)),
        Flag.NO_SOURCE: ~g.has_source,
        Flag.NO_SKY: ~g.has_sky,
        Flag.EDGE: _on_edge(xp, g.segments),
        Flag.MASKED: _holed(xp, g),
        Flag.LOW_SN: ~(g.signal_to_noise >= MIN_SN_PER_PIXEL),
        Flag.NO_PETROSIAN: ~g.petrosian[1] | ~g.petrosian_ellipse[1],
        Flag.CUT_OFF: covered < (1.0 - MOST_CUT_OFF) * xp.pi * radius**2,
        Flag.BAD_MOMENTS: ~g.ellipse.valid,
        Flag.NO_CENTRE: ~g.centre_search[1],
        Flag.SEGMENTS_DIFFER: g.overlap < LEAST_OVERLAP,
        Flag.UNRESOLVED: box_width(g.petrosian[0]) < 2,
        Flag.NO_PSF: xp.full((n,), g.psf is None),
    }
    flags = xp.zeros((n,), dtype=xp.int32)
    for flag, where in raised.items():
        flags = flags | (xp.astype(where, xp.int32) * int(flag))
    return flags


def _on_edge(xp: Any, segments: Any) -> Any:
    rows = segments[:, 0, :] | segments[:, -1, :]
    return xp.any(rows | segments[:, :, 0] | segments[:, :, -1], axis=1)


def _holed(xp: Any, galaxies: Galaxies) -> Any:
    """Say where masked pixels, other than those of neighbours, touch the segment."""
    if arrays.is_numpy(galaxies.segments):
        return compiled_light.touched(galaxies.segments, galaxies.holes)
    around = box3_smooth(xp.astype(galaxies.segments, xp.float32))
    return xp.any((around > 0) & galaxies.holes, axis=(1, 2))
