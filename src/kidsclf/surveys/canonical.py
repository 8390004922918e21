"""From a survey's columns to canonical ones: units, sentinels, names and labels."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf import schema
from kidsclf.errors import InputError
from kidsclf.surveys.column_map import ColumnMap, Label
from kidsclf.surveys.identifiers import own_names, position_names, row_names
from kidsclf.surveys.photometry import ab_photometry
from kidsclf.surveys.positions import Degrees, invented_positions, stated_positions
from kidsclf.surveys.table_format import column_numbers
from kidsclf.surveys.units import same_unit


def source_columns(
    column_map: ColumnMap, own: Sequence[str], present: Sequence[str], path: str
) -> tuple[str, ...]:
    """List the columns of a file that must be read.

    Raises
    ------
    InputError
        If one is missing, or if one of ``own`` is called as a canonical column is.
    """
    position = column_map.position
    alternatives = (position.ra, position.dec, _label_columns(column_map), column_map.redshift)
    needed = [_first_present(names, present) for names in alternatives if names]
    needed += column_map.identifier.columns
    needed += [c for photometry in column_map.photometry().values() for c in photometry.columns]
    if column_map.half_light_radius:
        needed.append(column_map.half_light_radius.column)
    for name in (*needed, *own):
        if name not in present:
            raise InputError(
                f"column {name} of {path} was asked for (column map {column_map.name}) but the "
                f"file has {_some(present)}; correct the column map or keep_columns"
            )
    return tuple(dict.fromkeys((*needed, *own)))


def _label_columns(column_map: ColumnMap) -> tuple[str, ...]:
    return column_map.label.column if column_map.label else ()


def _first_present(names: Sequence[str], present: Sequence[str]) -> str:
    return next((name for name in names if name in present), names[0])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def check_units(column_map: ColumnMap, stated: Mapping[str, str | None], path: str) -> None:
    """Hold the units that a file states against those of the map; unstated ones pass.

    Raises
    ------
    InputError
        On the first that differs.
    """
    expected = _expected_units(column_map)
    for name, unit in stated.items():
        wanted = expected.get(name)
        if unit and wanted and not same_unit(unit, wanted):
            raise InputError(
                f"column {name} of {path} was asked for in {wanted} (column map "
                f"{column_map.name}) but is in {unit}; state its unit in the column map or convert"
            )


def _expected_units(column_map: ColumnMap) -> dict[str, str]:
    expected = dict.fromkeys((*column_map.position.ra, *column_map.position.dec), "deg")
    for photometry in column_map.photometry().values():
        if photometry.unit != "flux":
            expected[photometry.column] = photometry.unit
        if photometry.unit != "flux" and photometry.error and photometry.error_kind == "sigma":
            expected[photometry.error] = photometry.unit
    if column_map.half_light_radius:
        expected[column_map.half_light_radius.column] = column_map.half_light_radius.unit
    return expected | column_map.units


def canonical_table(
    raw: pa.Table, column_map: ColumnMap, own: Sequence[str], title: str, first_row: int, where: str
) -> pa.Table:
    """Turn a survey's columns into canonical ones; see ``read_chunk`` for what they are."""
    names, (ra, dec) = _names_and_places(raw, column_map, title, first_row, where)
    columns: dict[str, pa.Array | NDArray[np.generic]] = {
        schema.NAME: names,
        schema.RA: ra,
        schema.DEC: dec,
    }
    for band, photometry in column_map.photometry().items():
        columns |= ab_photometry(raw, photometry, band, where)
    radius = column_map.half_light_radius
    if radius:
        arcsec = column_numbers(raw, radius.column, where) * (radius.pixel_scale_arcsec or 1.0)
        arcsec[~(arcsec > 0)] = np.nan
        columns[schema.HALF_LIGHT_RADIUS] = arcsec.astype(np.float32)
    if column_map.label:
        columns[schema.LABEL] = _labels(raw, column_map.label)
    if column_map.redshift:
        name = _first_present(column_map.redshift, raw.column_names)
        columns[schema.REDSHIFT] = column_numbers(raw, name, where).astype(np.float32)
    return _with_own(pa.table(columns), _with_numbers(raw, column_map, where), own, where)


def _names_and_places(
    raw: pa.Table, column_map: ColumnMap, title: str, first_row: int, where: str
) -> tuple[pa.Array, Degrees]:
    identifier, position = column_map.identifier, column_map.position
    places: Degrees | None = None
    if not position.invented:
        ra, dec = (_first_present(names, raw.column_names) for names in (position.ra, position.dec))
        places = stated_positions(raw, ra, dec, where)
    if identifier.from_rows:
        names = row_names(identifier, title, first_row, raw.num_rows)
    elif identifier.from_coordinates and places is not None:
        names = position_names(identifier, *places)
    else:
        names = own_names(raw, identifier, where)
    return names, invented_positions(names) if places is None else places


def _with_numbers(raw: pa.Table, column_map: ColumnMap, where: str) -> pa.Table:
    """Turn identifiers that came as text into the numbers that cuts hold them against."""
    for name in set(column_map.identifier.columns) & set(column_map.compared_numbers()):
        if pa.types.is_string(raw[name].type):
            try:
                numbers = pc.utf8_trim_whitespace(raw[name]).cast(pa.int64())
            except pa.ArrowInvalid as error:
                raise InputError(
                    f"column {name} of {where} was asked for as numbers by a selection but holds "
                    f"texts; correct the value of the selection in the column map"
                ) from error
            raw = raw.set_column(raw.column_names.index(name), name, numbers)
    return raw


def _with_own(table: pa.Table, raw: pa.Table, own: Sequence[str], where: str) -> pa.Table:
    for name in own:
        if name not in (*table.column_names, schema.SPATIAL_INDEX):
            table = table.append_column(name, raw[name])
        elif name not in (schema.RA, schema.DEC, schema.REDSHIFT):
            raise InputError(
                f"column {name} of {where} was asked for unchanged but that is the name of a "
                f"canonical column; leave it out of keep_columns"
            )
    return table


def _labels(raw: pa.Table, label: Label) -> pa.Array:
    if label.constant is not None:
        return pa.repeat(pa.scalar(label.constant, pa.string()), raw.num_rows)
    column = raw[_first_present(label.column, raw.column_names)].combine_chunks()
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    if not label.values:
        return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    known = pc.index_in(texts, pa.array(list(label.values), pa.string()))
    return pa.array(list(label.values.values()), pa.string()).take(known)
