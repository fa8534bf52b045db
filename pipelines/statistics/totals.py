"""Adds up records of counts, exactly: the order in which work items come does not matter."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

Row = TypeVar("Row")


def total(values: Sequence[Any]) -> Any:
    """Return the sum of numbers; of tuples or dataclasses of numbers, which must be alike, field by field.

    Args:
        values: at least one.
    """
    first = values[0]
    if isinstance(first, tuple):
        return tuple(map(total, zip(*values, strict=True)))
    if dataclasses.is_dataclass(first) and not isinstance(first, type):
        return type(first)(*total([tuple(vars(value).values()) for value in values]))
    added = sum(values)
    return math.fsum(values) if isinstance(added, float) else added


def add_up(rows: Iterable[Row], *, keys: int) -> tuple[Row, ...]:
    """Add up dataclasses of counts that agree in their first fields, and sort them by these.

    Args:
        rows: dataclasses of one type: keys, then numbers.
        keys: number of the keys.
    """
    rows, grouped = list(rows), dict[tuple, list[tuple]]()
    for row in rows:
        values = tuple(vars(row).values())
        grouped.setdefault(values[:keys], []).append(values[keys:])
    return tuple(type(rows[0])(*key, *total(group)) for key, group in sorted(grouped.items()))
