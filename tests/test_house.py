"""The house around the package: imports, versions, pinned packages, scripts and examples."""

import doctest
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import kidsclf
from kidsclf.config import ClusterSettings

CHECKOUT = Path(__file__).resolve().parents[1]
SHELL_SCRIPTS = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for path in (
        CHECKOUT / ".ci" / "run",
        *(CHECKOUT / "tests" / "tools").glob("*.sh"),
        *(CHECKOUT / "deploy").rglob("*.sbatch"),
        CHECKOUT / "benchmarks" / "on_gpu.sh",
    )
)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(kidsclf.__path__, "kidsclf.")
    if not module.name.endswith("__main__")
)
TAKEN = re.compile(r"^from kidsclf\.(\w+) import", re.MULTILINE)
MAKE_COMMAND = re.compile(r"(?:^|`)\s*\$?\s*make ([a-z-]+)", re.MULTILINE)


def _text(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


def _project() -> dict:
    return tomllib.loads(_text("pyproject.toml"))["project"]


def _normal(package: str) -> str:
    """Spell a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _pins() -> dict[str, str]:
    pairs = (line.split("==") for line in _text("constraints.txt").splitlines())
    return {_normal(name): version for name, version in pairs}


def test_imports_keep_to_the_layers_and_doors() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    answer = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "0 broken" in answer.stdout


def test_constraints_are_plain_versions() -> None:
    lines = _text("constraints.txt").splitlines()
    odd = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line)]
    assert lines
    assert not odd


def test_constraints_pin_every_direct_dependency() -> None:
    project = _project()
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {_normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in wanted}
    assert not names - _pins().keys()


def test_one_version() -> None:
    citation = yaml.safe_load(_text("CITATION.cff"))
    assert _project()["version"] == kidsclf.__version__ == citation["version"]
    assert f"## [{kidsclf.__version__}]" in _text("CHANGELOG.md")


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in CHECKOUT.glob("docs/*.md"))]
)
def test_documented_make_commands_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text("Makefile"), re.MULTILINE))
    named = set(MAKE_COMMAND.findall(_text(page)))
    assert named <= targets
    if page == "README.md":
        assert {"demo", "test"} <= named


@pytest.mark.parametrize("target", ["demo", "test", "lint", "clean"])
def test_makefile_can_be_planned(target: str) -> None:
    command = ["make", "--dry-run", target]
    answer = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_missing_python_is_said_in_words(tmp_path: Path) -> None:
    """Without Python 3.11 the first command of the README says what to install."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(CHECKOUT / name, tmp_path)
    command = ["make", "demo", "PYTHON=python-that-is-not-here"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert "needs Python 3.11" in answer.stderr
    assert "apt-get install python3.11" in answer.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("script", SHELL_SCRIPTS)
def test_shell_scripts_parse(script: str) -> None:
    answer = subprocess.run(
        ["bash", "-n", CHECKOUT / script], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    "fragment", sorted(CHECKOUT.glob("deploy/**/*.toml")), ids=lambda p: p.name
)
def test_deployment_settings_are_understood(fragment: Path) -> None:
    raw = tomllib.loads(fragment.read_text(encoding="utf-8"))
    assert set(raw) == {"cluster"}
    assert ClusterSettings.model_validate(raw["cluster"]).kind == "slurm"


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert result.failed == 0


def test_what_a_gpu_machine_lacks_is_what_kidsclf_needs_less_what_it_has():
    from tools.carry_wheels import WITHOUT, names_listed, needed_packages

    there = set(names_listed("NumPy==2.5.2\nKeras\n"))
    assert there == {"numpy", "keras"}
    needed = needed_packages(there, "3.12")
    assert {"healpy", "zarr", "distributed", "pydantic-core"} <= set(needed)
    assert not set(needed) & {"kidsclf", "pytest", *there, *WITHOUT}
    pins = _pins()
    assert all(pins.get(name, version) == version for name, version in needed.items())


def test_what_makes_scores_is_all_in_their_fingerprint():
    """Of modules beside the packages, those that bear on no result are few."""
    bears_on_none = {"errors", "config", "config_file", "places", "object_store", "compiling"}
    source, imported = CHECKOUT / "src/kidsclf", set()
    for package in ("pipeline", "infer", "models", "features", "train", "reduce"):
        for path in (source / package).rglob("*.py"):
            imported |= set(TAKEN.findall(path.read_text(encoding="utf-8")))
    modules = {name for name in imported if (source / f"{name}.py").exists()}
    hashed = set(re.findall(r'"(\w+)\.py"', (source / "pipeline/context.py").read_text()))
    assert modules - bears_on_none <= hashed
