"""A run's settings from a TOML file: read, changed by ``--set``, checked, complained of.

Building a configuration touches nothing: no directory, no client, no glob. Relative paths in a
file are read from that file's folder; those given with ``--set`` from the current folder.
"""

import difflib
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from upath import UPath

from kidsclf.config import Config
from kidsclf.errors import ConfigError

Location = tuple[int | str, ...]
"""Keys that lead to a setting, from the outermost."""

_PATH_KEYS = (
    ("store", "scratch"),
    ("survey", "catalogue"),
    ("survey", "tiles"),
    ("train", "pretrained"),
)


def load_config(
    path: Path | UPath, overrides: Sequence[str] = (), overriding: str = "the command line"
) -> Config:
    """Read a TOML file and apply ``section.key=value`` overrides.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
    overriding : str
        What gave them, for complaints.

    Raises
    ------
    ConfigError
        For a missing or malformed file, an unknown key (with the nearest known one) or a value
        of the wrong kind.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror or error}; give the path of a "
            f"TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; mend that line") from error
    _anchor_paths(raw, path.resolve().parent)
    changes: dict[str, Any] = {}
    for text in overrides:
        _set(changes, *_parse_override(text))
    _anchor_paths(changes, Path.cwd())
    return _checked(
        _merge(raw, changes),
        lambda location: overriding if _comes_from(changes, raw, location) else str(path),
    )


def build_config(raw: Mapping[str, Any], source: str = "the configuration") -> Config:
    """Check raw settings and freeze them.

    Raises
    ------
    ConfigError
        On the first setting that does not fit.
    """
    return _checked(raw, lambda _: source)


def _checked(raw: Mapping[str, Any], source_of: Callable[[Location], str]) -> Config:
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explain(error, source_of)) from error
    _check_cutouts(config)
    _check_samples(config)
    return config


def _check_cutouts(config: Config) -> None:
    ready_made, bands = config.cutouts.ready_made, config.cutouts.bands
    if ready_made and config.survey.tiles:
        raise ConfigError(
            "stamps were asked for from survey.tiles and from cutouts.ready_made, but they come "
            "from one of them; take the other out"
        )
    if ready_made and not set(bands) <= ready_made.keys():
        raise ConfigError(
            f"cutouts.bands = {list(bands)} was asked for, but cutouts.ready_made has "
            f"{', '.join(ready_made)}; correct one of them"
        )


def _check_samples(config: Config) -> None:
    seen: list[str] = []
    for name, sample in config.samples.items():
        for other in sample.exclude:
            if other not in seen:
                raise ConfigError(
                    f"samples.{name}.exclude names {other!r}, which is not a sample defined before "
                    f"it (found: {', '.join(seen) or 'none'}); define samples.{other} first"
                )
        seen.append(name)
    if config.reduce.product_network not in (None, *config.train.networks):
        raise ConfigError(
            f"reduce.product_network = {config.reduce.product_network!r} is not among "
            f"train.networks {list(config.train.networks)}; name one of them"
        )
    classes = config.train.classes
    if len(classes) < 2 or len({each.lower() for each in classes}) < len(classes):
        raise ConfigError(
            f"train.classes = {list(classes)} must name at least two classes, each once; correct it"
        )
    if "+" in "".join(classes):
        raise ConfigError(
            f"train.classes = {list(classes)} has a class with '+' in its name, which joins the "
            f"classes of a prediction set; map the survey's labels to other names"
        )
    if config.train.folds == 1:
        raise ConfigError("train.folds = 1 leaves nothing to train on; use 0 or at least 2")


def _parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"--set {text!r} has no 'section.key=value' form; write e.g. --set train.folds=5"
        )
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word or path needs no quotes on the command line
    return tuple(part.strip() for part in key.split(".")), parsed


def _set(tree: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        branch = tree.setdefault(key, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: {key} is a value, not a section")
        tree = branch
    tree[keys[-1]] = value


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = (
            _merge(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
        )
    return merged


def _comes_from(changes: Mapping[str, Any], below: Mapping[str, Any], location: Location) -> bool:
    """Say whether a setting, or the section that lacks it, stands in the changes alone."""
    given, kept = _followed(changes, location), _followed(below, location)
    return given > kept or given == len(location) > 0


def _followed(tree: Any, location: Location) -> int:
    """Count how many steps of a location lead into a tree; a value has all that are left."""
    for steps, part in enumerate(location):
        if not isinstance(tree, Mapping):
            return len(location)
        if part not in tree:
            return steps
        tree = tree[part]
    return len(location)


def _anchor_paths(raw: dict[str, Any], folder: Path | UPath) -> None:
    """Make path settings absolute; a lone string stands for a list of one."""
    for section, key in _PATH_KEYS:
        table = raw.get(section)
        if isinstance(table, dict) and key in table:
            table[key] = _anchored(table[key], folder, one=key in {"pretrained", "scratch"})
    cutouts = raw.get("cutouts")
    ready_made = cutouts.get("ready_made") if isinstance(cutouts, dict) else None
    for table in ready_made.values() if isinstance(ready_made, dict) else ():
        for key in {"stamps", "names"} & (table.keys() if isinstance(table, dict) else set()):
            table[key] = _anchored(table[key], folder, one=True)
    samples = raw.get("samples")
    if isinstance(samples, dict):
        for sample in samples.values():
            if isinstance(sample, dict) and "tables" in sample:
                sample["tables"] = _anchored(sample["tables"], folder, one=False)
    for table in [raw.get("survey"), *(samples.values() if isinstance(samples, dict) else ())]:
        preset = table.get("preset") if isinstance(table, dict) else None
        if isinstance(table, dict) and isinstance(preset, str) and preset.endswith(".toml"):
            table["preset"] = _anchored(preset, folder, one=True)


def _anchored(value: Any, folder: Path | UPath, *, one: bool) -> Any:
    if isinstance(value, str):
        absolute = value if "://" in value else str(folder / Path(value).expanduser())
        return absolute if one else [absolute]
    if isinstance(value, list):
        return [_anchored(item, folder, one=True) for item in value]
    return value


def _explain(error: ValidationError, source_of: Callable[[Location], str]) -> str:
    """Put the first complaint in a sentence; a misspelt key comes before what it left missing."""
    found = error.errors()
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    source = source_of(first["loc"])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{source} asks for {where}, which is not a setting; {_advice(first['loc'])}"
    if first["type"] == "missing":
        return f"{source} lacks {where}, which a run cannot do without; add it"
    value = f"{first['input']!r:.80}"
    if first["type"] == "model_type":
        keys = ", ".join(f"{where}.{key}" for key in _known_keys(first["loc"]))
        return f"{source} sets {where} = {value}, but that is a section; set one of {keys}"
    reason = first["msg"].removeprefix("Value error, ").lower()
    return f"{source} sets {where} = {value}: {reason}; correct that value"


def _advice(loc: Location) -> str:
    """Name the settings that may have been meant: in that section, or of that name elsewhere."""
    key, section = str(loc[-1]), ".".join(str(part) for part in loc[:-1])
    known = _known_keys(loc[:-1])
    paths = list(_setting_paths(Config))
    meant = [path for path in paths if path.rpartition(".")[2] == key]
    if not meant:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        meant = [f"{section}.{near[0]}" if section else near[0]] if near else []
    if not meant:
        names = [path.rpartition(".")[2] for path in paths]
        near = difflib.get_close_matches(key, names, n=1, cutoff=0.75)
        meant = [path for path in paths if path.rpartition(".")[2] in near]
    if meant:
        return f"did you mean {' or '.join(meant)}?"
    return f"known {'keys there' if section else 'sections'} are {', '.join(known)}"


def _setting_paths(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """List all settings with their sections, e.g. ``train.neural.epochs``."""
    for name, field in section.model_fields.items():
        path, kind = f"{prefix}{name}", field.annotation
        yield path
        if get_origin(kind) is dict:
            path, kind = f"{path}.NAME", get_args(kind)[1]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _setting_paths(kind, f"{path}.")


def _known_keys(loc: Location) -> list[str]:
    """List the keys of the section at ``loc``."""
    section: Any = Config
    for part in loc:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[str(part)].annotation
        else:
            section = get_args(section)[1]  # dict[name, Section]
    is_section = isinstance(section, type) and issubclass(section, BaseModel)
    return sorted(section.model_fields) if is_section else []
