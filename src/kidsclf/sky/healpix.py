"""The door to healpy, opened when the first of its functions is asked for.

It brings matplotlib, which takes longer to load than most commands take to answer.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Give one of healpy's functions: ``healpix.ang2pix``."""
    if name.startswith("__"):  # what is asked of any module
        raise AttributeError(name)
    return getattr(importlib.import_module("healpy"), name)
