"""Decodes many `tf.train.Example` records of one schema at once, into columns.

`parse_example` takes 10 to 40 us per record. Records of one schema differ only in their values, and records
of equal length mostly have them at the same offsets. So one record of each layout is parsed, the others are
compared with it outside the values, and NumPy cuts the values out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from digitmill.records.example import Place, Value, parse_example, place_values

_LAYOUTS: Final = 16
"""Layouts of records of one length that are looked for; the records of further ones are parsed one by one."""

_FEW: Final = 4
"""So few records of one layout are parsed one by one."""


def decode_records(
    payloads: Sequence[bytes], defaults: Mapping[str, Any]
) -> dict[str, list[Any] | np.ndarray]:
    """Return the first value of each feature of all records, with the same result as `parse_example`.

    Args:
        payloads: N records.
        defaults: names of the wanted features, with the value for records without the feature. A NumPy
            scalar gives an array of N numbers, anything else, such as None, a list of N values.

    Raises:
        ValueError: when a record is not a `tf.train.Example`.
    """
    columns = {name: _empty(default, len(payloads)) for name, default in defaults.items()}
    lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
    order = np.argsort(lengths, kind="stable")
    edges = np.flatnonzero(np.diff(lengths[order])) + 1
    for rows in np.split(order, edges):
        left, layouts = rows, 0
        while len(left) > _FEW and layouts < _LAYOUTS:
            left, layouts = _decode_alike(payloads, left, columns), layouts + 1
        for row in left.tolist():
            _parse(payloads[row], row, columns)
    return columns


def _empty(default: Any, rows: int) -> list[Any] | np.ndarray:
    return np.full(rows, default) if isinstance(default, np.generic) else [default] * rows


def _decode_alike(
    payloads: Sequence[bytes], rows: np.ndarray, columns: Mapping[str, list[Any] | np.ndarray]
) -> np.ndarray:
    """Decode those of some records of equal length that are laid out as the first; return the other ones."""
    first = payloads[rows[0]]
    table = np.frombuffer(b"".join([payloads[row] for row in rows.tolist()]), np.uint8)
    table = table.reshape(len(rows), len(first))
    places = place_values(first)
    if places is None:
        # Not as we write records.
        _parse(first, int(rows[0]), columns)
        return rows[1:]
    alike = _alike(table, places)
    chosen = rows[alike]
    for name, place in places.items():
        if name in columns:
            _put(columns[name], chosen, _values(table[alike, place.start : place.end], place))
    return rows[~alike]


def _parse(payload: bytes, row: int, columns: Mapping[str, list[Any] | np.ndarray]) -> None:
    for name, value in parse_example(payload).items():
        if name in columns:
            columns[name][row] = value


def _alike(table: np.ndarray, places: Mapping[str, Place]) -> np.ndarray:
    """Return which rows have the first one's bytes around its values, and numbers that end where its do."""
    fixed = np.ones(table.shape[1], bool)
    for place in places.values():
        fixed[place.start : place.end] = False
    alike = (table[:, fixed] == table[0, fixed]).all(axis=1)
    for place in places.values():
        if place.kind is int:
            # All bytes of a number but the last have their highest bit set.
            highest = table[:, place.start : place.end] >> 7
            alike &= highest[:, :-1].all(axis=1) & (highest[:, -1] == 0)
    return alike


def _values(table: np.ndarray, place: Place) -> list[Value] | np.ndarray:
    table = np.ascontiguousarray(table)
    if place.kind is bytes:
        data, width = table.tobytes(), table.shape[1]
        return [data[at : at + width] for at in range(0, len(data), width)] if width else [b""] * len(table)
    if place.kind is float:
        return table.view("<f4").ravel()
    # Groups of seven bits, the lowest first; what is beyond 64 bits is lost, as in `parse_example`.
    groups = (table & 0x7F).astype(np.uint64)
    shifts = (7 * np.arange(table.shape[1])).astype(np.uint64)
    return np.bitwise_or.reduce(groups << shifts, axis=1).view(np.int64)


def _put(column: list[Any] | np.ndarray, rows: np.ndarray, values: list[Value] | np.ndarray) -> None:
    if isinstance(column, np.ndarray):
        column[rows] = values
        return
    for row, value in zip(rows.tolist(), values, strict=True):
        column[row] = value
