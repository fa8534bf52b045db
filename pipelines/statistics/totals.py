"""Adds up records of counts exactly, so that the order of the work items does not matter."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

Row = TypeVar("Row")


class ExactSum(list[float]):
    """An exact sum of numbers, held as several floats and rounded only when read.

    Works like `math.fsum`, but adds number by number. Source: J. R. Shewchuk, "Adaptive Precision
    Floating-Point Arithmetic", 1997.
    """

    def add(self, number: float) -> None:
        """Add a number."""
        kept = 0
        for part in self:
            large, small = (number, part) if abs(number) >= abs(part) else (part, number)
            number = large + small
            lost = small - (number - large)
            if lost:
                self[kept] = lost
                kept += 1
        self[kept:] = [number]

    @property
    def value(self) -> float:
        """The sum, correctly rounded."""
        return math.fsum(self)


class RunningTotal:
    """Adds up records of the same shape: nested tuples or dataclasses of numbers."""

    def __init__(self) -> None:
        self._first: Any = None
        self._counts: list[int] = []
        self._exact: dict[int, ExactSum] = {}

    def add(self, record: Any) -> None:
        """Add a record; raise ValueError when its shape differs from the first one's."""
        if self._first is None:
            self._first = record  # nearly every work item has only one piece
            return
        if not self._counts:
            self._counts = [0] * sum(1 for _ in _numbers(self._first))
            self._add(self._first)
        self._add(record)

    def _add(self, record: Any) -> None:
        place = -1
        for place, number in enumerate(_numbers(record)):
            if place == len(self._counts):
                break
            if type(number) is float:
                self._exact.setdefault(place, ExactSum()).add(number)
            else:
                self._counts[place] += number
        if place != len(self._counts) - 1:
            raise ValueError("records with different numbers of counts")

    def value(self) -> Any:
        """Return the total as a record of the same shape; requires at least one record."""
        if not self._counts:
            return self._first
        totals = (
            math.fsum([count, *self._exact[place]]) if place in self._exact else count
            for place, count in enumerate(self._counts)
        )
        return _like(self._first, totals)


def _numbers(record: Any) -> Iterator[Any]:
    if isinstance(record, tuple):
        for each in record:
            if type(each) in (int, float):
                yield each
            else:
                yield from _numbers(each)
    else:
        yield from _numbers(tuple(vars(record).values()))


def _like(record: Any, numbers: Iterator[Any]) -> Any:
    if isinstance(record, tuple):
        return tuple(_like(each, numbers) for each in record)
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return type(record)(*_like(tuple(vars(record).values()), numbers))
    return next(numbers)


def total(values: Sequence[Any]) -> Any:
    """Return the sum of numbers, or the elementwise sum of tuples of the same shape.

    Args:
        values: at least one.
    """
    if isinstance(values[0], tuple):
        return tuple(map(total, zip(*values, strict=True)))
    added = sum(values)
    return math.fsum(values) if isinstance(added, float) else added


def add_up(rows: Iterable[Row], *, keys: int) -> tuple[Row, ...]:
    """Group dataclasses of counts by their key fields, add up each group, and sort by key.

    Args:
        rows: dataclasses of one type, whose fields are keys, then numbers.
        keys: number of key fields.
    """
    rows, grouped = list(rows), dict[tuple, list[tuple]]()
    for row in rows:
        values = tuple(vars(row).values())
        grouped.setdefault(values[:keys], []).append(values[keys:])
    return tuple(type(rows[0])(*key, *total(group)) for key, group in sorted(grouped.items()))
