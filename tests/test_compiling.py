"""Machine code that is kept is that of today's loops, those taken from other files included."""

import shutil
import subprocess
import sys
from pathlib import Path

import kidsclf
from kidsclf.compiling import digest

INNER = """
from kidsclf.compiling import njit

@njit()
def half(number):
    return number / {divisor}
"""
OUTER = """
from kidsclf.compiling import njit
from kidsclf.inner import half

@njit(cache=True)
def quarter(number):
    return half(half(number))
"""
ASKED = """
from kidsclf.outer import quarter
print(quarter(8.0), sum(quarter.stats.cache_hits.values()))
"""


def _small_package(root):
    package = root / "kidsclf"
    package.mkdir()
    for name in ("compiling.py", "schema.py"):
        shutil.copy(Path(kidsclf.__file__).parent / name, package)
    (package / "__init__.py").write_text("")
    (package / "outer.py").write_text(OUTER)
    (package / "inner.py").write_text(INNER.format(divisor=2))
    return package


def _said(root):
    done = subprocess.run(
        [sys.executable, "-c", ASKED], cwd=root, capture_output=True, text=True, check=True
    )
    number, hits = done.stdout.split()
    return float(number), int(hits)


def test_a_change_of_what_a_loop_takes_from_another_file_is_noticed(tmp_path):
    package = _small_package(tmp_path)
    assert _said(tmp_path) == (2.0, 0)
    assert _said(tmp_path) == (2.0, 1)
    (package / "inner.py").write_text(INNER.format(divisor=4))
    assert _said(tmp_path) == (0.5, 0)


def test_only_files_of_compiled_loops_count(tmp_path):
    package = _small_package(tmp_path)
    before = digest(package)
    (package / "page.py").write_text("TITLE = 'a page'\n")
    assert digest(package) == before
    (package / "schema.py").write_text("NAN_CODE = -1\n")
    assert digest(package) != before
