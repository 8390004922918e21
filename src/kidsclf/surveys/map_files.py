"""Column maps shipped with the package, and how a user's own is read."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from kidsclf.errors import ConfigError
from kidsclf.surveys.column_map import ColumnMap

_SHIPPED = resources.files("kidsclf.surveys") / "presets"


def preset_names() -> tuple[str, ...]:
    """List the column maps that are shipped.

    >>> "kids_dr4" in preset_names()
    True
    """
    files = _SHIPPED.iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load_column_map(name_or_path: str | Path) -> ColumnMap:
    """Read a column map: the name of a preset, or the path of a TOML file.

    A file may start from another map with ``extends = "kids_dr4"`` and state only what differs.

    Raises
    ------
    ConfigError
        For an unknown preset or key (with the nearest known one), a file that is missing or not
        TOML, or values that do not fit together.
    """
    try:
        return ColumnMap.model_validate(_read(str(name_or_path), seen=()))
    except ValidationError as error:
        raise ConfigError(_explain(error, str(name_or_path))) from error


def _read(name_or_path: str, seen: tuple[str, ...]) -> dict[str, Any]:
    if name_or_path in seen:
        raise ConfigError(
            f"column map {seen[0]} extends itself by way of {' > '.join(seen[1:]) or 'nothing'}; "
            f"let the last one stand on its own"
        )
    raw = _parse(name_or_path)
    base = raw.pop("extends", None)
    merged = raw
    if base is not None:
        if base not in preset_names():
            base = str(Path(name_or_path).parent / str(base))
        merged = _merge(_read(base, (*seen, name_or_path)), raw)
    _check_bands(raw, merged.get("bands", ()), name_or_path)
    return merged


def _check_bands(raw: Mapping[str, Any], bands: Sequence[str], name_or_path: str) -> None:
    """Refuse settings of a band that is none; those of a map extended may be left over."""
    magnitudes = raw.get("magnitudes")
    for key in ("ab_offsets", "bands"):
        stated = magnitudes.get(key) if isinstance(magnitudes, dict) else None
        for band in stated if isinstance(stated, dict) else ():
            if band not in bands:
                raise ConfigError(
                    f"column map {name_or_path} states magnitudes.{key}.{band}, but its bands are "
                    f"{', '.join(bands) or 'none'}; correct the name or add the band"
                )


def _parse(name_or_path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(name_or_path))
    except OSError as error:
        raise ConfigError(
            f"cannot read the column map {name_or_path}: {error.strerror}; give a preset "
            f"({', '.join(preset_names())}) or the path of a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the column map {name_or_path} is not valid TOML: {error}; mend that line"
        ) from error


def _text(name_or_path: str) -> str:
    if name_or_path in preset_names():
        return _SHIPPED.joinpath(f"{name_or_path}.toml").read_text("utf-8")
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        return Path(name_or_path).read_text(encoding="utf-8")
    near = difflib.get_close_matches(name_or_path, preset_names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}" if near else f"known are {', '.join(preset_names())}"
    raise ConfigError(
        f"no column map is called {name_or_path!r}; {hint}, or give the path of a TOML file"
    )


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        merged[key] = _merge(below, value) if both and below else value
    return merged


def _explain(error: ValidationError, source: str) -> str:
    """Put the first complaint in a sentence; a misspelt key comes before what it left missing."""
    found = error.errors()
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
        return f"column map {source} states {where}, which is not a key; {hint}"
    if first["type"] == "missing":
        return f"column map {source} lacks {where}, which is needed there; add it"
    reason = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], dict):
        return f"column map {source} has a {where or 'whole'} that does not hold: {reason}"
    return (
        f"column map {source} sets {where} to {first['input']!r:.80}: {reason.lower()}; "
        f"correct that entry"
    )


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """List the keys of the section at ``loc``, which also holds list positions and band names."""
    section: type[BaseModel] = ColumnMap
    for part in loc:
        if part in section.model_fields:
            section = _section_of(section.model_fields[str(part)].annotation) or section
    return sorted(section.model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Find the section type inside ``X | None``, ``dict[str, X]`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_of(part))), None)
