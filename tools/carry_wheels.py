"""Fetch what kidsclf needs on a machine without a network, as wheels that can be carried there.

    python -m pip list --format=freeze > there.txt                  # on that machine
    python tools/carry_wheels.py wheels --there there.txt --python 3.12

Run it in an environment that has kidsclf. What that machine has, whatever its version, is left
out, and so is what a run on one machine with JAX or PyTorch does without: TensorFlow, the image
simulator of the mock survey, object stores, encryption between machines, notebooks.
``--with dask-cuda==26.10.0`` adds packages that are not here, without what they need in turn.
On the machine, ``bash benchmarks/on_gpu.sh wheels`` installs and uses them.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

WITHOUT = ("tensorflow-cpu", "galsim", "s3fs", "cryptography", "lsdb")
GLIBC = (17, 24, 26, 27, 28, 31, 34)
"""Of the wheels that are taken, as in ``manylinux_2_28``; pip matches each exactly."""
MOST_MIB = 64.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the wheels go")
    parser.add_argument(
        "--there", type=Path, required=True, metavar="FILE", help="what pip lists on that machine"
    )
    parser.add_argument("--python", default="3.12", help="of that machine (default: %(default)s)")
    parser.add_argument("--with", nargs="*", default=[], metavar="NAME==VERSION", dest="more")
    parser.add_argument("--most-mib", type=float, default=MOST_MIB, help="default: %(default)s")
    options = parser.parse_args(arguments)
    there = set(names_listed(options.there.read_text(encoding="utf-8")))
    needed = [f"{name}=={at}" for name, at in needed_packages(there, options.python).items()]
    needed += options.more
    options.folder.mkdir(parents=True, exist_ok=True)
    for old in options.folder.glob("*.whl"):  # of two versions the other might be installed
        old.unlink()
    download(options.folder, needed, options.python)
    mib = sum(each.stat().st_size for each in options.folder.glob("*.whl")) / 2**20
    sys.stdout.write(f"{len(needed)} wheels, {mib:.1f} MiB in {options.folder}\n")
    if mib > options.most_mib:
        sys.stderr.write(
            f"wheels of at most {options.most_mib:g} MiB were asked for, but these are "
            f"{mib:.1f}; list more of them in {options.there} or raise --most-mib\n"
        )
        return 1
    return 0


def names_listed(text: str) -> Iterator[str]:
    """Read the names of ``pip list --format=freeze``, or of a plain list.

    >>> list(names_listed("Jinja2==3.1.6\\ntyping_extensions\\n\\n"))
    ['jinja2', 'typing-extensions']
    """
    for line in text.splitlines():
        if line.strip():
            yield canonicalize_name(line.partition("==")[0].strip())


def needed_packages(there: set[str], python: str) -> dict[str, str]:
    """Find what kidsclf needs, at the versions installed here.

    Parameters
    ----------
    there : set of str
        Canonical names that are not needed.
    python : str
        Version that the environment markers are judged by, ``3.12``.

    Returns
    -------
    dict of str to str
        Version by canonical name.
    """
    left_out, found, asked_before = there | set(WITHOUT), dict[str, str](), set[str]()
    waiting = [Requirement("kidsclf")]
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        if name in left_out or str(asked) in asked_before:
            continue
        asked_before.add(str(asked))
        installed = distribution(asked.name)
        found[name] = installed.version
        waiting += _needs(installed.requires or (), asked.extras, python)
    found.pop("kidsclf", None)
    return found


def _needs(lines: Iterable[str], extras: set[str], python: str) -> Iterator[Requirement]:
    for line in lines:
        need = Requirement(line)
        for extra in ("", *extras):
            markers = {"python_version": python, "python_full_version": python, "extra": extra}
            if need.marker is None or need.marker.evaluate(markers):
                yield need
                break


def download(folder: Path, needed: Sequence[str], python: str) -> None:
    """Fetch the wheels for Linux on x86-64; ``needed`` as in ``zarr==3.1.6``."""
    platforms = ["any", "manylinux1_x86_64", "manylinux2014_x86_64"]
    platforms += [f"manylinux_2_{minor}_x86_64" for minor in GLIBC]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--platform={each}" for each in platforms]
    command += [f"--dest={folder}", *needed]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
