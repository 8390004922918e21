"""Whether two texts name the same unit, as far as surveys can be trusted to spell."""

from astropy import units

_SPELLINGS = {
    "degree": "deg",
    "degrees": "deg",
    "pixel": "pix",
    "pixels": "pix",
    "magnitude": "mag",
    "magnitudes": "mag",
    "mag(ab)": "mag",
    "abmag": "mag",
    "arcsecond": "arcsec",
    "arcseconds": "arcsec",
    "maggies": "maggy",
    "nanomaggies": "nanomaggy",
    "nmgy": "nanomaggy",
}


def same_unit(stated: str, expected: str) -> bool:
    """Say whether a file's unit is the expected one.

    >>> same_unit("Degrees", "deg"), same_unit("mas.yr**-1", "mas/yr"), same_unit("rad", "deg")
    (True, True, False)
    """
    one, other = _plain(stated), _plain(expected)
    if one.lower() == other.lower():
        return True
    parsed = [units.Unit(text, parse_strict="silent") for text in (one, other)]
    if any(isinstance(unit, units.UnrecognizedUnit) for unit in parsed):
        return False
    return bool(parsed[0] == parsed[1])


def _plain(text: str) -> str:
    stripped = text.strip()
    return _SPELLINGS.get(stripped.lower(), stripped)
