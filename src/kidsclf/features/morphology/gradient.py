"""Gradient pattern asymmetry G2: which slopes have no mirror image (Rosa et al. 2018)."""

from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_light

MODULUS_TOLERANCE = 0.01
"""Of the largest gradient: two lengths that differ by less are alike (CyMorph's default)."""

PHASE_TOLERANCE = 0.01
"""Radians: two gradients that differ from opposite by less are (CyMorph's default)."""


def gradient_asymmetry(images: Any, segments: Any, x: Any, y: Any) -> Any:
    """Measure G2 = V_A / V (2 - |sum v_a| / sum |v_a|) (Rosa et al. 2018, MNRAS 477, L101, eq. 5).

    V counts the gradients in a segment, V_A those without an equal and opposite one at the mirror
    place, v_a are these. Gradients are central differences; pixels with a neighbour beyond the
    segment are left out.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted.
    segments : bool array (n, size, size)
    x, y : float64 array (n,)
        Centre, pixels; the mirror point is the nearest centre, edge or corner of a pixel.

    Returns
    -------
    float64 array (n,)
        0 (symmetric) to 2 (no symmetry, gradients in all directions); NaN without a gradient.
    """
    if arrays.is_numpy(images):
        return compiled_light.gradient_asymmetry(
            images, segments, x, y, MODULUS_TOLERANCE, PHASE_TOLERANCE
        )
    xp = arrays.namespace(images)
    inner = _inner(xp, segments)
    weight = xp.astype(inner, images.dtype)
    down = 0.5 * weight * _shift(xp, images, 1)
    across = 0.5 * weight * _shift(xp, images, 2)
    modulus = xp.sqrt(down * down + across * across)
    largest = xp.max(modulus, axis=(1, 2), keepdims=True)
    tolerance = MODULUS_TOLERANCE * largest
    there_down, there_across, there = _mirrored(xp, (down, across, weight), x, y)
    mirrored = xp.sqrt(there_down**2 + there_across**2)
    # the angle between a gradient and the opposite of the other, by sine and cosine
    cosine = -(down * there_down + across * there_across)
    sine = xp.abs(down * there_across - across * there_down)
    alike = (xp.abs(modulus - mirrored) <= tolerance) & (cosine > 0)
    paired = (there > 0) & alike & (sine <= PHASE_TOLERANCE * cosine)
    alone = weight * xp.astype((modulus > tolerance) & ~paired, images.dtype)
    count, lonely, lengths, sum_down, sum_across = (
        xp.sum(xp.reshape(each, (images.shape[0], -1)), axis=1, dtype=xp.float64)
        for each in (weight, alone, modulus * alone, down * alone, across * alone)
    )
    confluence = xp.sqrt(sum_down**2 + sum_across**2) / xp.where(lengths > 0, lengths, 1.0)
    valid = (count > 0) & (largest[:, 0, 0] > 0)
    return xp.where(valid, lonely / xp.where(valid, count, 1.0) * (2.0 - confluence), xp.nan)


def _inner(xp: Any, segments: Any) -> Any:
    """Keep the pixels whose four neighbours belong to the segment too; none of the outermost."""
    core = segments[:, 1:-1, 1:-1]
    core = core & segments[:, 2:, 1:-1] & segments[:, :-2, 1:-1]
    core = core & segments[:, 1:-1, 2:] & segments[:, 1:-1, :-2]
    rows = xp.zeros_like(core[:, :1, :])
    core = xp.concat([rows, core, rows], axis=1)
    columns = xp.zeros_like(core[:, :, :1])
    return xp.concat([columns, core, columns], axis=2)


def _shift(xp: Any, images: Any, axis: int) -> Any:
    """Subtract the pixel before from the pixel after, along an axis; wraps at the edge."""
    return xp.roll(images, -1, axis=axis) - xp.roll(images, 1, axis=axis)


def _mirrored(xp: Any, stacks: tuple[Any, ...], x: Any, y: Any) -> list[Any]:
    """Read arrays at the places mirrored in a point; 0 beyond the stamp."""
    size = stacks[0].shape[-1]
    places = xp.arange(size, dtype=xp.int64)[None, :]
    columns, rows = (
        xp.astype(xp.round(2.0 * centre), xp.int64)[:, None] - places for centre in (x, y)
    )
    on_rows, on_columns = (rows >= 0) & (rows < size), (columns >= 0) & (columns < size)
    on = on_rows[:, :, None] & on_columns[:, None, :]
    flat = xp.clip(rows, 0, size - 1)[:, :, None] * size + xp.clip(columns, 0, size - 1)[:, None, :]
    flat = xp.reshape(flat, (x.shape[0], -1))
    return [
        xp.reshape(xp.take_along_axis(xp.reshape(each, flat.shape), flat, axis=1), each.shape)
        * xp.astype(on, each.dtype)
        for each in stacks
    ]
