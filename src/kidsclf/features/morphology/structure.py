"""Features of structure: concentration, asymmetry, clumps, and likeness to a point."""

from typing import Any

from kidsclf.features.morphology.asymmetry import (
    asymmetry,
    root_mean_square_asymmetry,
    rotation_sums,
)
from kidsclf.features.morphology.feature import ELLIPTICAL, LOST, RADIAL, STRUCTURE, Feature
from kidsclf.features.morphology.flags import MorphologyFlag as Flag
from kidsclf.features.morphology.galaxies import Galaxies
from kidsclf.features.morphology.gradient import gradient_asymmetry
from kidsclf.features.morphology.multiplicity import multiplicity
from kidsclf.features.morphology.smoothness import smoothness
from kidsclf.features.morphology.stellarity import spread_model


def _smoothness(g: Galaxies) -> Any:
    return smoothness(g.images, g.good, g.circle, g.petrosian[0], g.sky_roughness)


def _outer_asymmetry(g: Galaxies) -> Any:
    """Compare the light between half-light ellipse and outline (Wen et al. 2014)."""
    xp, half = g.xp, g.half_light_radii[1]
    inner_radius = xp.where(xp.isfinite(half), half, 0.0)
    outer, inner = (
        rotation_sums(g.images, g.good, g.rows, g.shape, radius)
        for radius in (g.outer_radii[1], inner_radius)
    )
    return asymmetry(outer - inner, g.sky_noise[1])


def _shape_asymmetry(g: Galaxies) -> Any:
    """Compare the outline with itself (Pawlik et al. 2016); the sky has no part in it."""
    mask = g.xp.astype(g.outlines, g.images.dtype)
    sums = rotation_sums(mask, g.good, g.rows, g.circle, g.outer_radii[0])
    return asymmetry(sums, 0.0)


def _gradient_asymmetry(g: Galaxies) -> Any:
    shift = g.images.shape[-1] // 2 - g.close.images.shape[-1] // 2
    return gradient_asymmetry(
        g.close.images, g.close.segments, g.circle.x - shift, g.circle.y - shift
    )


def _spread(g: Galaxies) -> Any:
    if g.psf is None:
        return g.xp.full(g.images.shape[:1], g.xp.nan)
    return spread_model(g.images, g.good, g.centroid.x, g.centroid.y, g.psf)


STRUCTURE_FEATURES: tuple[Feature, ...] = (
    Feature(
        "concentration",
        "",
        "5 log10(r80 / r20) (Conselice 2003; Lotz 2004)",
        lambda g: 5 * g.xp.log10(g.light_radii[2] / g.light_radii[0]),
        RADIAL,
    ),
    Feature(
        "asymmetry",
        "",
        "what a half-turn leaves over the light, less the sky's (Lotz 2004, eq. 10)",
        lambda g: asymmetry(g.rotation, g.sky_noise[1]),
        STRUCTURE | RADIAL | Flag.NO_SKY,
    ),
    Feature(
        "rms_asymmetry_squared",
        "",
        "the same of squares, without bias by noise (Sazonova 2024, eq. 27)",
        lambda g: root_mean_square_asymmetry(g.rotation, g.sky_noise[0]),
        STRUCTURE | RADIAL | Flag.NO_SKY,
    ),
    Feature(
        "outer_asymmetry",
        "",
        "asymmetry beyond the half-light ellipse (Wen 2014)",
        _outer_asymmetry,
        STRUCTURE | ELLIPTICAL | Flag.NO_SKY,
    ),
    Feature(
        "shape_asymmetry",
        "",
        "asymmetry of the outline (Pawlik 2016)",
        _shape_asymmetry,
        STRUCTURE | RADIAL | Flag.NO_SKY,
    ),
    Feature(
        "smoothness",
        "",
        "light in structure finer than a quarter Petrosian radius (Lotz 2004, eq. 11)",
        _smoothness,
        STRUCTURE | RADIAL | Flag.NO_SKY | Flag.UNRESOLVED,
    ),
    Feature(
        "gini",
        "",
        "inequality of the pixels' light (Lotz 2004, eq. 6)",
        lambda g: g.gini,
        STRUCTURE | ELLIPTICAL,
    ),
    Feature(
        "m20",
        "",
        "second moment of the brightest fifth, log10 of its share (Lotz 2004, eq. 8)",
        lambda g: g.m20,
        STRUCTURE | ELLIPTICAL,
    ),
    Feature(
        "gini_m20_bulge",
        "",
        "-0.693 M20 + 4.95 G - 3.96 (Rodriguez-Gomez 2019, eq. 4)",
        lambda g: -0.693 * g.m20 + 4.95 * g.gini - 3.96,
        STRUCTURE | ELLIPTICAL,
    ),
    Feature(
        "gini_m20_merger",
        "",
        "0.139 M20 + 0.990 G - 0.327 (Rodriguez-Gomez 2019, eq. 5)",
        lambda g: 0.139 * g.m20 + 0.990 * g.gini - 0.327,
        STRUCTURE | ELLIPTICAL,
    ),
    Feature(
        "multimode",
        "",
        "area of the second clump over the first (Freeman 2013; Peth 2016)",
        lambda g: g.mid.multimode,
        STRUCTURE,
    ),
    Feature(
        "intensity",
        "",
        "light of the second clump over the first (Freeman 2013; Peth 2016)",
        lambda g: g.mid.intensity,
        STRUCTURE,
    ),
    Feature(
        "deviation",
        "",
        "brightest clump from the centroid, in radii of the segment (Freeman 2013)",
        lambda g: g.mid.deviation,
        STRUCTURE,
    ),
    Feature(
        "multiplicity",
        "",
        "how much further apart the light is than it could be (Law 2007, eq. 6)",
        lambda g: multiplicity(g.close.images, g.close.segments),
        STRUCTURE,
    ),
    Feature(
        "gradient_asymmetry",
        "",
        "G2, share and directions of unpaired gradients (Rosa 2018)",
        _gradient_asymmetry,
        STRUCTURE | RADIAL,
    ),
    Feature(
        "spread_model",
        "",
        "match of a widened PSF over the PSF's; 0 for points (Desai 2012)",
        _spread,
        LOST | Flag.NO_PSF,
    ),
)
