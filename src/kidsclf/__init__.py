"""Classify the sources of big astronomical survey catalogues on a Dask cluster."""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["open_session"]


def __getattr__(name: str) -> Any:
    """Load ``open_session`` when it is asked for: the command does not need LSDB."""
    if name == "open_session":
        return importlib.import_module("kidsclf.session").open_session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
