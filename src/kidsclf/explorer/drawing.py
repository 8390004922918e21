"""Drawings of one source by the report's own figures."""

import threading

import numpy as np
from numpy.typing import NDArray

from kidsclf.explorer.detail import Record
from kidsclf.report.figures.sed import draw_sed
from kidsclf.report.figures.stamps import stamp_png
from kidsclf.report.svg import inline_svg

_ONE_AT_A_TIME = threading.Lock()
"""The settings under which matplotlib draws belong to the process, not to a thread."""


def sed_svg(photometry: list[Record], class_name: str) -> str:
    """Draw magnitudes with their errors as an ``<svg>`` element that takes the page's colours."""
    bands = [str(each["band"]) for each in photometry]
    values, errors = (_numbers(photometry, key) for key in ("magnitude", "error"))
    with _ONE_AT_A_TIME:
        return str(inline_svg(draw_sed(bands, values, errors, class_name), "sed"))


def picture(stamp: NDArray[np.float32]) -> bytes | None:
    """Draw a stamp as PNG; None where it has no image."""
    return stamp_png(stamp.astype(np.float64))


def _numbers(photometry: list[Record], key: str) -> NDArray[np.float64]:
    return np.array([np.nan if each[key] is None else each[key] for each in photometry])
