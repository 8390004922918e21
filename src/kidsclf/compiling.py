"""Numba's compiler, with a cache that notices when any of our compiled loops has changed.

Numba looks at the file alone in which a loop stands, and would go on with machine code of what the
loop takes from other files as that was before. So a folder of the cache is named by a digest of
all files that have to do with compiled loops.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parent
_MARKS = (b"kidsclf.compiling", b"llvmlite")
_CONSTANTS = "schema.py"
"""Loops take numbers from it."""


def njit(**options: Any) -> Callable[[Function], Any]:
    """Compile a function as ``numba.njit`` does, which takes the options."""

    def compiled(function: Function) -> Any:
        if not options.get("cache"):
            return numba.njit(**options)(function)
        kept = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        numba.config.CACHE_DIR = str(_folder())  # type: ignore[attr-defined]
        try:
            return numba.njit(**options)(function)
        finally:
            numba.config.CACHE_DIR = kept  # type: ignore[attr-defined]

    return compiled


@cache
def _folder() -> Path:
    """Name the folder: of ``NUMBA_CACHE_DIR``, beside the package, or below the home directory."""
    above = os.environ.get("NUMBA_CACHE_DIR")
    if above:
        return Path(above) / f"kidsclf-{digest(_PACKAGE)}"
    beside = _PACKAGE / "__pycache__"
    if os.access(beside if beside.exists() else _PACKAGE, os.W_OK):
        return beside / f"compiled-{digest(_PACKAGE)}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "kidsclf" / f"compiled-{digest(_PACKAGE)}"


def digest(package: Path) -> str:
    """Hash the files of a package that have to do with compiled loops, 16 hexadecimal digits."""
    found = hashlib.blake2b(digest_size=8)
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        if any(mark in content for mark in _MARKS) or path == package / _CONSTANTS:
            found.update(path.relative_to(package).as_posix().encode())
            found.update(content)
    return found.hexdigest()
