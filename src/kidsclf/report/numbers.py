"""Numbers as a reader wants them: thousands set apart, percent, and a dash for the undefined."""

import math
from typing import Any

DASH = "–"
"""En dash: shown where a value does not exist."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number (a truth value is none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def whole(value: Any) -> str:
    """Write a count with its thousands apart.

    >>> whole(27335836), whole(None), whole(float("nan"))
    ('27,335,836', '–', '–')
    """
    return f"{value:,.0f}" if is_number(value) else DASH


def percent(value: Any, digits: int = 1) -> str:
    """Write a fraction of 1 as percent.

    >>> percent(0.98761, 2)
    '98.76%'
    """
    return f"{100 * value:.{digits}f}%" if is_number(value) else DASH


def decimal(value: Any, digits: int = 4) -> str:
    """Write a number with a fixed number of decimals.

    >>> decimal(0.98761)
    '0.9876'
    """
    return f"{value:.{digits}f}" if is_number(value) else DASH


def duration(seconds: Any) -> str:
    """Write a time as people say it.

    >>> duration(4.26), duration(75), duration(7320)
    ('4.3 s', '1 min 15 s', '2 h 2 min')
    """
    if not is_number(seconds):
        return DASH
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def power(value: float) -> str:
    """Write an axis value of a logarithmic scale.

    >>> power(1000), power(1e6), power(0.01), power(0.00001)
    ('1,000', '10⁶', '0.01', '10⁻⁵')
    """
    if 1e-3 <= value < 1:
        return f"{value:g}"
    if 1 <= value < 1e5:
        return f"{value:,.0f}"
    if value <= 0:
        return ""
    exponent = math.floor(math.log10(value) + 1e-9)
    lead = round(value / 10**exponent)
    sign = str(exponent).translate(_SUPERSCRIPTS)
    return f"10{sign}" if lead == 1 else f"{lead}×10{sign}"


def cell(value: Any) -> str:
    """Write any value of a data table.

    >>> cell(12345), cell(0.123456789), cell(None), cell([1, 2])
    ('12,345', '0.123457', '–', '2 values')
    """
    if value is None or value == "":
        return DASH
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else DASH
    if isinstance(value, list | tuple):
        return f"{len(value)} values"
    return str(value)
