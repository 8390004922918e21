"""Compiled kernels give the same bits where they are compiled and where they are loaded."""

import importlib

import pytest
from numba.core.dispatcher import Dispatcher

MODULES = (
    *(f"morphology.compiled{part}" for part in ("", "_light", "_points", "_search")),
    "sersic.compiled",
)


@pytest.mark.parametrize("name", MODULES)
def test_parts_of_kernels_whose_sums_may_be_reordered_are_inlined(name):
    """Not inlined, two copies of one part would be in a process that compiles, one in others."""
    module = importlib.import_module(f"kidsclf.features.{name}")
    parts = {
        key: each
        for key, each in vars(module).items()
        if key.startswith("_") and isinstance(each, Dispatcher)
    }
    for key, each in parts.items():
        assert each.targetoptions["fastmath"], key
        assert each.targetoptions["forceinline"], key
