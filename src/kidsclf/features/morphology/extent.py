"""Features of place, extent and light: where a source is, how large, how bright."""

from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology.apertures import aperture_sums
from kidsclf.features.morphology.feature import ELLIPTICAL, LOST, RADIAL, Feature
from kidsclf.features.morphology.flags import MorphologyFlag as Flag
from kidsclf.features.morphology.galaxies import Galaxies
from kidsclf.features.morphology.noise import kron_radius

FLUX_EXTENT = 2.0
"""Radius of the aperture of the flux over the Petrosian radius (SDSS; statmorph)."""


def _flux(g: Galaxies, shape: Any, petrosian: Any) -> Any:
    return aperture_sums(g.images, g.good, g.rows, shape, FLUX_EXTENT * petrosian)[0]


EXTENT_FEATURES: tuple[Feature, ...] = (
    Feature(
        "x", "px", "centroid of the segment, from the first pixel", lambda g: g.centroid.x, LOST
    ),
    Feature(
        "y", "px", "centroid of the segment, from the first pixel", lambda g: g.centroid.y, LOST
    ),
    Feature(
        "x_asymmetry",
        "px",
        "where a half-turn leaves least (Lotz 2004)",
        lambda g: g.circle.x,
        RADIAL,
    ),
    Feature(
        "y_asymmetry",
        "px",
        "where a half-turn leaves least (Lotz 2004)",
        lambda g: g.circle.y,
        RADIAL,
    ),
    Feature("area", "px2", "pixels of the segment", lambda g: arrays.count(g.segments), LOST),
    Feature(
        "sky_sigma",
        "image",
        "noise of an empty pixel",
        lambda g: g.sky_noise[0],
        Flag.NO_IMAGE | Flag.NO_SKY,
    ),
    Feature(
        "sn_per_pixel",
        "",
        "mean signal to noise of the Petrosian segment (Lotz 2004, eq. 5)",
        lambda g: g.signal_to_noise,
        RADIAL | Flag.NO_SKY,
    ),
    Feature(
        "ellipticity",
        "",
        "1 - minor / major axis of the second moments",
        lambda g: 1 - 1 / g.ellipse.elongation,
        LOST | Flag.BAD_MOMENTS,
    ),
    Feature(
        "elongation",
        "",
        "major / minor axis of the second moments",
        lambda g: g.ellipse.elongation,
        LOST | Flag.BAD_MOMENTS,
    ),
    Feature(
        "orientation",
        "rad",
        "major axis from x towards y",
        lambda g: g.ellipse.angle,
        LOST | Flag.BAD_MOMENTS,
    ),
    Feature(
        "petrosian_radius",
        "px",
        "circle where the surface brightness is a fifth of the mean inside (Petrosian 1976)",
        lambda g: g.petrosian[0],
        LOST | Flag.NO_PETROSIAN,
    ),
    Feature(
        "petrosian_semi_major",
        "px",
        "the same for ellipses",
        lambda g: g.petrosian_ellipse[0],
        LOST | Flag.NO_PETROSIAN | Flag.BAD_MOMENTS,
    ),
    Feature(
        "kron_radius",
        "px",
        "first moment of the light by semi-major axis, within two Petrosian ones (Kron 1980)",
        lambda g: kron_radius(g.images, g.good, g.shape, g.petrosian_ellipse[0]),
        ELLIPTICAL,
    ),
    Feature(
        "flux_circle",
        "image",
        "light in two Petrosian radii",
        lambda g: _flux(g, g.circle, g.petrosian[0]),
        RADIAL,
    ),
    Feature(
        "flux_ellipse",
        "image",
        "light in two Petrosian semi-major axes",
        lambda g: _flux(g, g.shape, g.petrosian_ellipse[0]),
        ELLIPTICAL,
    ),
    Feature(
        "half_light_radius",
        "px",
        "half of the light within the outline's radius",
        lambda g: g.half_light_radii[0],
        RADIAL | Flag.NO_SKY,
    ),
    Feature(
        "half_light_semi_major",
        "px",
        "the same for ellipses",
        lambda g: g.half_light_radii[1],
        ELLIPTICAL | Flag.NO_SKY,
    ),
    Feature(
        "r20", "px", "20 % of the light in 1.5 Petrosian radii", lambda g: g.light_radii[0], RADIAL
    ),
    Feature(
        "r50", "px", "50 % of the light in 1.5 Petrosian radii", lambda g: g.light_radii[1], RADIAL
    ),
    Feature(
        "r80", "px", "80 % of the light in 1.5 Petrosian radii", lambda g: g.light_radii[2], RADIAL
    ),
    Feature(
        "outer_radius",
        "px",
        "farthest pixel of the outline from the centre (Pawlik 2016)",
        lambda g: g.outer_radii[0],
        LOST | Flag.NO_SKY,
    ),
)
