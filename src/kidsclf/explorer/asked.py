"""What a browser asked for, read and held against what there is before anything is opened.

Nothing that comes over the wire is used as a path or a column: names are looked up among those
that the catalogue has, and numbers are finite and within the sky.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from kidsclf.errors import ConfigError
from kidsclf.pipeline.infer import P_MAX
from kidsclf.pipeline.query import flags_of
from kidsclf.pipeline.query_partition import Question, Range
from kidsclf.sky.cone import Cone

Parameters = Mapping[str, str]
"""Of a request, each once."""

WHOLE_SKY_DEG = 180.0
_LONGEST_NAME = 256
_LAST_INDEX = 12 << 58


def refuse_unknown(given: Parameters, known: Sequence[str]) -> None:
    """Refuse parameters that nobody reads.

    Raises
    ------
    ConfigError
    """
    for name in given:
        if name not in known:
            raise ConfigError(
                f"a parameter {name[:40]!r} was given, but this question takes "
                f"{', '.join(known) or 'none'}; leave it out"
            )


def number(given: Parameters, name: str, low: float, high: float) -> float:
    """Read a number.

    Raises
    ------
    ConfigError
        When it is missing, no finite number, or out of bounds.

    >>> number({"ra": "12.5"}, "ra", 0.0, 360.0)
    12.5
    """
    text = given.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ConfigError(
            f"{name} = {text[:40]!r} was asked for, but it has to be a number from {low:g} to "
            f"{high:g}; give one"
        )
    return value


def whole_number(given: Parameters, name: str, low: int, high: int, default: int) -> int:
    """Read a whole number; ``default`` where it is not given.

    Raises
    ------
    ConfigError
        When it is none, or out of bounds.
    """
    text = given.get(name, str(default))
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else -1
    if not low <= value <= high:
        raise ConfigError(
            f"{name} = {text[:40]!r} was asked for, but it has to be a whole number from {low} to "
            f"{high}; give one"
        )
    return value


def cone_asked(given: Parameters, most_deg: float = WHOLE_SKY_DEG) -> Cone:
    """Read ``ra``, ``dec`` and ``radius``, all in degrees.

    Raises
    ------
    ConfigError
        When one is no place on the sky, or the radius is 0 or above ``most_deg``.
    """
    ra, dec = number(given, "ra", -360.0, 720.0), number(given, "dec", -90.0, 90.0)
    return Cone(ra % 360.0, dec, number(given, "radius", 1e-6, most_deg))


def source_asked(index: object, name: object) -> tuple[int, str]:
    """Read which source is meant: its spatial index, as text, and its identifier.

    Raises
    ------
    ConfigError
    """
    if isinstance(index, str) and isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME:
        where = whole_number({"index": index}, "index", 0, _LAST_INDEX - 1, 0)
        return where, name
    raise ConfigError(
        "a source was asked for, but not by the texts index and name; give those of a source that "
        "the explorer has shown"
    )


FILTERS = ("class", "mag_min", "mag_max", "p_min", "p_max", "flags", "without_flags")


def question_asked(given: Parameters, classes: Sequence[str], band: str) -> Question:
    """Read which sources are to be shown, of all the sky.

    Parameters
    ----------
    given : mapping
        Of ``FILTERS``; what is missing or empty asks for nothing. The class ``none`` is that of
        unclassified sources.
    classes : sequence of str
    band : str
        Column of the magnitude.

    Raises
    ------
    ConfigError
    """
    class_name = given.get("class") or None
    if class_name is not None and class_name not in (*classes, "none"):
        raise ConfigError(
            f"the class {class_name[:40]!r} was asked for, but the classes are "
            f"{', '.join(classes)} and none; give one of those"
        )
    ranges = (
        _range(given, band, "mag_min", "mag_max", (-50.0, 99.0)),
        _range(given, P_MAX, "p_min", "p_max", (0.0, 1.0)),
    )
    flags = flags_of("flags", given.get("flags") or None)
    without = flags_of("without_flags", given.get("without_flags") or None, "any")
    if flags & without:
        raise ConfigError(
            "the same flag was asked for as set and as not set, but no source is both; take it out "
            "of one of them"
        )
    named = "" if class_name == "none" else class_name
    asked = tuple(each for each in ranges if each is not None)
    return Question(class_name=named, flags=flags, without_flags=without, ranges=asked)


def _range(
    given: Parameters, column: str, low: str, high: str, bounds: tuple[float, float]
) -> Range | None:
    least = number(given, low, *bounds) if given.get(low) else None
    most = number(given, high, *bounds) if given.get(high) else None
    if least is None and most is None:
        return None
    if least is not None and most is not None and np.float32(least) > np.float32(most):
        raise ConfigError(
            f"{low} = {least:g} and {high} = {most:g} were asked for, but nothing lies between "
            f"them; exchange them"
        )
    return Range(column, least, most)
