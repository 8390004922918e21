"""Exact sums over circles and ellipses: pixels that an edge cuts count by the area inside it.

The area of an ellipse below and to the left of a point is known in closed form from two chords,
one along the point's column and one along its row. Chords cost a square root and an arc sine per
row and column, not per pixel. The overlap with a pixel is the second difference of that area over
the pixel's four corners.
"""

import math
from dataclasses import dataclass
from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled

TINY_RADIUS = 1e-6
"""Pixels; the smallest semi-axis, so that an empty aperture is a limit and no division by 0."""


@dataclass(frozen=True)
class Shape:
    """Concentric similar ellipses, one family a source.

    Attributes
    ----------
    x, y : float64 array (n,)
        Centre, pixels; the centre of the first pixel is 0.
    elongation : float64 array (n,)
        Major over minor axis, at least 1; 1 is a circle.
    angle : float64 array (n,)
        Of the major axis from x towards y, radians.
    """

    x: Any
    y: Any
    elongation: Any
    angle: Any

    def fields(self) -> tuple[Any, Any, Any, Any]:
        """Give the arrays in the order of the attributes."""
        return self.x, self.y, self.elongation, self.angle

    def rows(self, chosen: Any) -> "Shape":
        """Keep the sources of an integer index."""
        xp = arrays.namespace(self.x)
        return Shape(*(xp.take(each, chosen) for each in self.fields()))


def circles(x: Any, y: Any) -> Shape:
    """Make circles round given centres, float64 arrays (n,)."""
    xp = arrays.namespace(x)
    return Shape(x, y, xp.ones_like(x), xp.zeros_like(x))


def aperture_sums(
    images: Any, good: Any, stamps: Any, shape: Shape, radius: Any
) -> tuple[Any, Any]:
    """Sum the light and the usable area inside ellipses.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Any unit; 0 where not ``good``.
    good : bool array (n, size, size)
        Pixels that can be used.
    stamps : int64 array (m,)
        The stamp that each aperture is laid on; several may be laid on one.
    shape : Shape
        Of m apertures.
    radius : float64 array (m,)
        Semi-major axis, pixels.

    Returns
    -------
    light, area : float64 array (m,)
        In the unit of the images and in pixels. What lies outside the stamp adds to neither.
    """
    if arrays.is_numpy(images):
        light, area = compiled.aperture_sums(
            images, good, stamps, shape.x, shape.y, radius, shape.elongation, shape.angle
        )
        return light, area
    xp = arrays.namespace(images)
    weights = overlaps(images.shape[-1], shape, radius)
    light, area = (
        xp.sum(weights * xp.astype(xp.take(each, stamps, axis=0), xp.float64), axis=(1, 2))
        for each in (images, good)
    )
    return light, area


def overlaps(size: int, shape: Shape, radius: Any) -> Any:
    """Give the fraction of each pixel that lies inside each source's ellipse.

    Parameters
    ----------
    size : int
        Side of the stamp, pixels.
    shape : Shape
    radius : float64 array (n,)
        Semi-major axis, pixels.

    Returns
    -------
    float64 array (n, size, size)
        0 to 1, exact to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> pixel = circles(np.array([1.0]), np.array([1.0]))
    >>> bool(abs(overlaps(3, pixel, np.array([0.5])).sum() - np.pi / 4) < 1e-12)
    True
    """
    xp = arrays.namespace(radius)
    a = xp.where(radius > TINY_RADIUS, radius, xp.full_like(radius, TINY_RADIUS))
    b = a / shape.elongation
    cos, sin = xp.cos(shape.angle), xp.sin(shape.angle)
    shear = (a * a - b * b) * cos * sin
    edges = xp.arange(size + 1, dtype=xp.float64)[None, :] - 0.5
    column = _chords(
        edges - shape.x[:, None], (a * cos) ** 2 + (b * sin) ** 2, shear, a * b,
        xp.atan2(-b * sin, a * cos),
    )  # fmt: skip
    row = _chords(
        edges - shape.y[:, None], (a * sin) ** 2 + (b * cos) ** 2, shear, a * b,
        xp.atan2(b * cos, a * sin),
    )  # fmt: skip
    area = _area_below_left(column.along(2), row.along(1), (a * b)[:, None, None])
    return area[:, 1:, 1:] - area[:, :-1, 1:] - area[:, 1:, :-1] + area[:, :-1, :-1]


@dataclass(frozen=True)
class _Chords:
    """Where lines of one direction cut an ellipse: arrays (n, lines), or spread along an axis."""

    offset: Any
    """Of the line from the centre, pixels."""
    middle: Any
    """Of the chord, along the line, from the centre."""
    half: Any
    """Half the chord; negative where the line misses the ellipse."""
    cap: Any
    """Area of the ellipse on the side of smaller offsets."""
    normal: Any
    """Direction of growing offset in the plane where the ellipse is the unit circle, radians."""
    half_angle: Any
    """Half the angle under which the chord is seen from the centre in that plane, radians."""

    def along(self, axis: int) -> "_Chords":
        """Spread the lines along the last (2) or the middle (1) axis of a stack of stamps."""
        place = (slice(None), None, ...) if axis == 2 else (..., None)
        fields = (self.offset, self.middle, self.half, self.cap, self.normal, self.half_angle)
        return _Chords(*(each[place] for each in fields))


def _chords(offset: Any, extent_squared: Any, shear: Any, ab: Any, normal: Any) -> _Chords:
    xp = arrays.namespace(offset)
    squared = extent_squared[:, None]
    share = offset / xp.sqrt(squared)
    inside = xp.clip(share, -1.0, 1.0)
    height = xp.sqrt(1.0 - inside * inside)
    lean = xp.asin(inside)
    return _Chords(
        offset=offset,
        middle=offset * (shear[:, None] / squared),
        half=xp.where(xp.abs(share) < 1.0, ab[:, None] / xp.sqrt(squared) * height, -1.0),
        cap=ab[:, None] * (0.5 * math.pi + lean + inside * height),
        normal=normal[:, None] + xp.zeros_like(offset),
        half_angle=0.5 * math.pi - lean,
    )


def _area_below_left(column: _Chords, row: _Chords, ab: Any) -> Any:
    """Area of the ellipse below and to the left of the points where columns and rows meet."""
    xp = arrays.namespace(ab)
    above = row.offset > column.middle
    right = column.offset > row.middle
    outside = xp.where(
        above,
        xp.where(right, column.cap + row.cap - math.pi * ab, column.cap),
        xp.where(right, row.cap, xp.zeros_like(ab)),
    )
    # inside: a triangle down the column, one along the row, and the sector between their ends;
    # the small number keeps rounding from turning an empty sector into a full circle
    turn = (column.normal - column.half_angle) - (row.normal + row.half_angle)
    sector = xp.remainder(turn + 1e-9, 2.0 * math.pi) - 1e-9
    down = row.offset - column.middle + column.half
    across = column.offset - row.middle + row.half
    wedge = 0.5 * (row.offset * across + column.offset * down + ab * sector)
    inside = xp.abs(row.offset - column.middle) < column.half
    return xp.where(inside, wedge, outside)
