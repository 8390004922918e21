"""The table of networks."""

import importlib
import subprocess
import sys

import pytest

from kidsclf.errors import ConfigError
from kidsclf.models.table import NETWORKS, network_entry


def test_names_are_unique_and_builders_exist():
    names = [entry.name for entry in NETWORKS]
    assert len(names) == len(set(names))
    for entry in NETWORKS:
        module, function = entry.builder.split(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_table_imports_no_framework():
    code = (
        "import sys, kidsclf.models.table, kidsclf.models.files;"
        "print([m for m in ('keras', 'tensorflow', 'xgboost') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_misspelt_network_is_told_its_neighbour():
    with pytest.raises(ConfigError, match="did you mean 'xgboost'"):
        network_entry("xgbost")
