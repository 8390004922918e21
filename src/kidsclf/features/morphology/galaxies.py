"""A chunk of sources on its way through the measurements, each step done once when first needed."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology.apertures import Shape, circles
from kidsclf.features.morphology.asymmetry import Rotation, centre_of_asymmetry, rotation_sums
from kidsclf.features.morphology.gini import gini, m20, petrosian_segments
from kidsclf.features.morphology.growth import GrowthCurve, growth_curve
from kidsclf.features.morphology.mid import Mid, mid_statistics
from kidsclf.features.morphology.moments import Ellipse, Moments, ellipse, moments
from kidsclf.features.morphology.noise import signal_to_noise
from kidsclf.features.morphology.radii import petrosian_radius, share_radii
from kidsclf.features.morphology.shape import largest_radius, outlines
from kidsclf.features.morphology.sky import Sky, sky_noise
from kidsclf.features.morphology.smoothness import sky_roughness

EXTENT = 1.5
"""Radius of the aperture of C, A and S over the Petrosian radius (Lotz et al. 2004)."""

DRIFT = 0.25
"""How far the centre of asymmetry may lie from its start, over the Petrosian radius (statmorph)."""

MARGIN_PX = 4
"""Round a segment: as far as a smoothing of one pixel carries its light."""

REACH_STEP_PX = 5
"""Reaches of windows are multiples of it, so that sources of like size share one."""

FEWEST_SKY_PIXELS = 64
"""Below this the noise of the sky is known to worse than 9 %."""


@dataclass(frozen=True)
class Galaxies:
    """Prepared stamps of n sources and everything that more than one feature reads.

    Attributes
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted; 0 where not ``good``.
    good : bool array (n, size, size)
        Usable pixels that belong to no neighbour.
    segments : bool array (n, size, size)
        Usable pixels of the source.
    holes : bool array (n, size, size)
        Pixels that are not usable though no neighbour covers them.
    noise : float32 array (n, size, size) or None
        Standard deviation of each pixel, the unit of the images; None: that of the sky.
    psf : array (m, m) or (n, m, m) or None
    given_sky : Sky or None
        Statistics of the sky measured elsewhere; None: from the empty pixels of the stamps.
    """

    images: Any
    good: Any
    segments: Any
    holes: Any
    noise: Any = None
    psf: Any = None
    given_sky: Sky | None = None

    def rows_of(self, rows: Any) -> "Galaxies":
        """Keep the sources of an integer index."""
        xp = self.xp

        def keep(stack: Any) -> Any:
            return None if stack is None else xp.take(stack, rows, axis=0)

        return replace(
            self,
            images=keep(self.images),
            good=keep(self.good),
            segments=keep(self.segments),
            holes=keep(self.holes),
            noise=keep(self.noise),
            psf=self.psf if self.psf is None or self.psf.ndim == 2 else keep(self.psf),
        )

    def middle(self, reach: int) -> "Galaxies":
        """Keep the pixels of each stamp within a reach from its middle in x and y."""
        return replace(
            self,
            images=_middle(self.images, reach),
            good=_middle(self.good, reach),
            segments=_middle(self.segments, reach),
            holes=_middle(self.holes, reach),
            noise=None if self.noise is None else _middle(self.noise, reach),
        )

    @cached_property
    def reach(self) -> Any:
        """How far the segment reaches from the middle of the stamp in x or y, int64 array (n,)."""
        return _reach(self.segments)

    @cached_property
    def close_reach(self) -> Any:
        """Reach of the window that just holds a source's segment, int64 array (n,)."""
        return (self.reach + MARGIN_PX + REACH_STEP_PX - 1) // REACH_STEP_PX * REACH_STEP_PX

    @cached_property
    def close(self) -> "Galaxies":
        """The same sources on stamps that just hold all their segments."""
        return self.middle(int(self.xp.max(self.close_reach)))

    @cached_property
    def xp(self) -> Any:
        """The array namespace."""
        return arrays.namespace(self.images)

    @cached_property
    def rows(self) -> Any:
        """Index of every stamp, int64 array (n,)."""
        return self.xp.arange(self.images.shape[0], dtype=self.xp.int64)

    @cached_property
    def light(self) -> Any:
        """The images within the segments."""
        return self.images * self.xp.astype(self.segments, self.images.dtype)

    @cached_property
    def moments(self) -> Moments:
        """Moments of the light in the segments."""
        return moments(self.light)

    @cached_property
    def has_source(self) -> Any:
        """Where the segment holds light and its centroid lies on the stamp, bool array (n,)."""
        size, sums = self.images.shape[-1], self.moments
        light = self.xp.where(sums.light > 0, sums.light, 1.0)
        inside = (sums.x >= 0) & (sums.x < size * light) & (sums.y >= 0) & (sums.y < size * light)
        return (sums.light > 0) & inside

    @cached_property
    def centroid(self) -> Shape:
        """Circles round the centroid; round the middle of the stamp where there is no source."""
        xp, sums = self.xp, self.moments
        middle = 0.5 * (self.images.shape[-1] - 1)
        light = xp.where(self.has_source, sums.light, 1.0)
        x = xp.where(self.has_source, sums.x / light, middle)
        return circles(x, xp.where(self.has_source, sums.y / light, middle))

    @cached_property
    def sky_pixels(self) -> Any:
        """Usable pixels beyond the segments."""
        return self.good & ~self.segments

    @cached_property
    def sky_noise(self) -> tuple[Any, Any]:
        """Noise of a pixel and asymmetry of the sky; 0 where there are too few pixels."""
        xp = self.xp
        if self.given_sky is not None:
            return self.given_sky.sigma, self.given_sky.asymmetry
        sigma, change, pixels = sky_noise(self.images, self.sky_pixels)
        enough = (pixels >= FEWEST_SKY_PIXELS) & xp.isfinite(change)
        return xp.where(enough, sigma, 0.0), xp.where(enough, change, 0.0)

    @cached_property
    def has_sky(self) -> Any:
        """Where there is enough empty sky, bool array (n,)."""
        if self.given_sky is not None:
            return self.xp.isfinite(self.given_sky.sigma)
        return arrays.count(self.sky_pixels) >= FEWEST_SKY_PIXELS

    @cached_property
    def sky_roughness(self) -> Any:
        """What a pixel of sky rises above its surroundings, float64 array (n,)."""
        if self.given_sky is not None:
            return self.given_sky.roughness
        return sky_roughness(self.images, self.sky_pixels, self.petrosian[0])

    @cached_property
    def centre_search(self) -> tuple[Shape, Any, Any]:
        """Circles round the centre of asymmetry, where it was found, and the aperture's radius."""
        xp, size = self.xp, self.images.shape[-1]
        curve = growth_curve(self.images, self.good, self.centroid)
        rough, _ = petrosian_radius(self.images, self.good, self.centroid, curve)
        brightest = xp.argmax(xp.reshape(self.light, (self.light.shape[0], -1)), axis=1)
        starts = (
            xp.stack([self.centroid.x, self.centroid.y], axis=1),
            xp.astype(xp.stack([brightest % size, brightest // size], axis=1), xp.float64),
        )
        x, y, found = centre_of_asymmetry(
            self.images, self.good, starts, EXTENT * rough, DRIFT * rough, self.sky_noise[1]
        )
        return circles(x, y), found, EXTENT * rough

    @cached_property
    def circle(self) -> Shape:
        """Circles round the centre of asymmetry."""
        return self.centre_search[0]

    @cached_property
    def rotation(self) -> Rotation:
        """What a half-turn leaves in the aperture of the asymmetry."""
        circle, _, radius = self.centre_search
        return rotation_sums(self.images, self.good, self.rows, circle, radius)

    @cached_property
    def ellipse(self) -> Ellipse:
        """The second moments round the centre of asymmetry."""
        return ellipse(self.moments, self.circle.x, self.circle.y)

    @cached_property
    def shape(self) -> Shape:
        """Ellipses round the centre of asymmetry."""
        return Shape(self.circle.x, self.circle.y, self.ellipse.elongation, self.ellipse.angle)

    @cached_property
    def curves(self) -> tuple[GrowthCurve, GrowthCurve]:
        """Growth of the light with radius, and with semi-major axis."""
        return (
            growth_curve(self.images, self.good, self.circle),
            growth_curve(self.images, self.good, self.shape),
        )

    @cached_property
    def petrosian(self) -> tuple[Any, Any]:
        """Circular Petrosian radius, pixels, and where it was found."""
        return petrosian_radius(self.images, self.good, self.circle, self.curves[0])

    @cached_property
    def petrosian_ellipse(self) -> tuple[Any, Any]:
        """Petrosian semi-major axis, pixels, and where it was found."""
        return petrosian_radius(self.images, self.good, self.shape, self.curves[1])

    @cached_property
    def light_radii(self) -> tuple[Any, Any, Any]:
        """Radii of 20, 50 and 80 % of the light in 1.5 Petrosian radii, pixels."""
        r20, r50, r80 = share_radii(
            self.images,
            self.good,
            self.circle,
            self.curves[0],
            EXTENT * self.petrosian[0],
            (0.2, 0.5, 0.8),
        )
        return r20, r50, r80

    @cached_property
    def petrosian_segments(self) -> Any:
        """Pixels brighter than the Petrosian ellipse, for Gini and M20."""
        shape = Shape(self.centroid.x, self.centroid.y, self.shape.elongation, self.shape.angle)
        return petrosian_segments(self.images, shape, self.petrosian_ellipse[0])

    @cached_property
    def outlines(self) -> Any:
        """Pixels that exceed the noise of the sky, for the outermost radii."""
        level = self.sky_noise[0] if self.given_sky is None else self.given_sky.level
        return outlines(self.images, level)

    @cached_property
    def outer_radii(self) -> tuple[Any, Any]:
        """Radius and semi-major axis of the outline, pixels."""
        return largest_radius(self.outlines, self.circle), largest_radius(self.outlines, self.shape)

    @cached_property
    def half_light_radii(self) -> tuple[Any, Any]:
        """Radius and semi-major axis of half the light inside the outermost ones, pixels."""
        round_half, long_half = (
            share_radii(self.images, self.good, shape, curve, outer, (0.5,))[0]
            for shape, curve, outer in zip(
                (self.circle, self.shape), self.curves, self.outer_radii, strict=True
            )
        )
        return round_half, long_half

    @cached_property
    def gini(self) -> Any:
        """Gini coefficient, float64 array (n,)."""
        return gini(*self._petrosian_light)

    @cached_property
    def m20(self) -> Any:
        """M20, float64 array (n,)."""
        return m20(*self._petrosian_light)

    @cached_property
    def _petrosian_light(self) -> tuple[Any, Any]:
        """Images and Petrosian segments, cut to what holds all of the latter."""
        reach = int(self.xp.max(_reach(self.petrosian_segments)))
        return _middle(self.images, reach), _middle(self.petrosian_segments, reach)

    @cached_property
    def signal_to_noise(self) -> Any:
        """Mean signal to noise of the pixels of the Petrosian segment, float64 array (n,)."""
        sigma = self.noise if self.noise is not None else self.sky_noise[0][:, None, None]
        return signal_to_noise(self.images, self.petrosian_segments & self.good, sigma)

    @cached_property
    def mid(self) -> Mid:
        """Multimode, intensity and deviation, on the closest stamps."""
        reach = self.close.images.shape[-1] // 2
        otherwise = _middle(self.petrosian_segments, reach)
        area = arrays.count(self.petrosian_segments)
        return mid_statistics(self.close.images, self.close.segments, otherwise, area)

    @cached_property
    def overlap(self) -> Any:
        """Pixels shared by the segments of Gini and MID over those of the larger, (n,)."""
        xp, own = self.xp, self.petrosian_segments
        both = _middle(own, self.mid.segments.shape[-1] // 2) & self.mid.segments
        shared, first, second = (arrays.count(each) for each in (both, own, self.mid.segments))
        return shared / xp.clip(xp.maximum(first, second), 1.0, None)


def _reach(masks: Any) -> Any:
    """Give the largest distance in x or y of a set pixel from the middle of its stamp, (n,)."""
    xp = arrays.namespace(masks)
    size = masks.shape[-1]
    distance = xp.abs(xp.arange(size, dtype=xp.int64) - size // 2)[None, :]
    spans = [
        xp.max(xp.astype(xp.any(masks, axis=axis), xp.int64) * distance, axis=1) for axis in (1, 2)
    ]
    return xp.maximum(spans[0], spans[1])


def _middle(stack: Any, reach: int) -> Any:
    """Cut an array (n, size, size) round the middle; leave it whole if it is not larger.

    The cut is a copy, whose pixels lie side by side as compiled loops want them.
    """
    centre = stack.shape[-1] // 2
    if 2 * reach + 1 >= stack.shape[-1]:
        return stack
    cut = slice(centre - reach, centre + reach + 1)
    return arrays.namespace(stack).asarray(stack[:, cut, cut], copy=True)
