"""Rows of whole numbers by HEALPix cell, made coarser until there are few enough of them.

The order that is reached is the finest at which all sources together fit; a part of them never
needs a coarser one than the whole, so the result does not depend on what was merged first.
"""

import numpy as np
from numpy.typing import NDArray

from kidsclf.reduce.law import State

Integers = NDArray[np.int64]


def cell_state(order: int, pixels: Integers, rows: Integers, most: int) -> State:
    """Add up what lies in one cell, of at most so many.

    Parameters
    ----------
    order : int
        Of the pixels.
    pixels : int64 array (n,)
        NESTED; one may occur several times.
    rows : int64 array (n, columns)
    most : int
        Cells are made coarser until no more than these are occupied.

    Returns
    -------
    State
        ``order``, and ``cells``: pixel (as text) to its row.

    >>> cell_state(1, np.array([5, 4, 9]), np.array([[1], [2], [3]]), 2)
    {'order': 0, 'cells': {'1': [3], '2': [3]}}
    """
    pixels, summed = add_rows(pixels, rows)
    while len(pixels) > most:
        order -= 1
        pixels, summed = add_rows(pixels >> 2, summed)
    cells = {str(pixel): row for pixel, row in zip(pixels.tolist(), summed.tolist(), strict=True)}
    return {"order": order, "cells": cells}


def merge_cells(left: State, right: State, most: int) -> State:
    """Add two states of the same columns; ``{}`` changes nothing."""
    if not left or not right:
        return left or right
    order = min(left["order"], right["order"])
    pixels, rows = zip(*(cells_at(state, order) for state in (left, right)), strict=True)
    return cell_state(order, np.concatenate(pixels), np.concatenate(rows), most)


def cells_at(state: State, order: int) -> tuple[Integers, Integers]:
    """Read a state at its own or a coarser order: ascending pixels (n,), rows (n, columns)."""
    pixels = np.array([int(pixel) for pixel in state["cells"]], np.int64)
    rows = np.array(list(state["cells"].values()), np.int64)
    return add_rows(pixels >> (2 * (state["order"] - order)), rows)


def add_rows(pixels: Integers, rows: Integers) -> tuple[Integers, Integers]:
    """Add up the rows of equal pixels, which come out ascending."""
    if not is_ascending(pixels):
        order = np.argsort(pixels, kind="stable")
        pixels, rows = pixels[order], rows[order]
    first = np.flatnonzero(_begins(pixels))
    return pixels[first], np.add.reduceat(rows, first, axis=0) if len(first) else rows


def distinct(pixels: Integers) -> Integers:
    """List pixels ascending, each once; without sorting where they are in order already.

    >>> distinct(np.array([2, 2, 5])), distinct(np.array([5, 2, 5]))
    (array([2, 5]), array([2, 5]))
    """
    ordered = pixels if is_ascending(pixels) else np.sort(pixels)
    return ordered[_begins(ordered)]


def numbered(pixels: Integers) -> tuple[Integers, Integers]:
    """List pixels ascending, each once, and give the place of each (n,) in that list.

    >>> numbered(np.array([5, 2, 5]))
    (array([2, 5]), array([1, 0, 1]))
    """
    if not is_ascending(pixels):
        found, place = np.unique(pixels, return_inverse=True)
        return found, place
    begins = _begins(pixels)
    return pixels[begins], np.cumsum(begins) - 1


def is_ascending(pixels: Integers) -> bool:
    """Say whether none is below the one before, as in partitions, whose rows lie by place."""
    return bool((pixels[1:] >= pixels[:-1]).all())


def _begins(pixels: Integers) -> NDArray[np.bool_]:
    """Mark each that differs from the one before, (n,)."""
    begins = np.ones(len(pixels), bool)
    np.not_equal(pixels[1:], pixels[:-1], out=begins[1:])
    return begins
