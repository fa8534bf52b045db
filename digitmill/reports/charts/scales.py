"""Scales of a chart's axes, and their ticks."""

import dataclasses
import math
from typing import Final, Protocol

_STEPS: Final = (1, 2, 2.5, 5, 10)
_LINEAR_TO: Final = 2
"""Up to this count, a logarithmic scale of counts is linear, to make room for 0."""


class Scale(Protocol):
    """Maps values to positions on an axis."""

    @property
    def low(self) -> float:
        """The lowest value."""

    @property
    def high(self) -> float:
        """The highest value."""

    def place(self, value: float) -> float:
        """Return a value's position between the ends, in [0, 1]; values beyond an end are placed at it."""

    def ticks(self) -> list[float]:
        """Return the values of the ticks, ascending."""


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear scale with at most `most` ticks, at whole numbers only if `whole`."""

    low: float
    high: float
    most: int = 6
    whole: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies."""
        return _between(value, self.low, self.high)

    def ticks(self) -> list[float]:
        """Return round values as ticks."""
        size = 10.0 ** math.floor(math.log10((self.high - self.low) / self.most))
        steps = (step * size * power for power in (1, 10) for step in _STEPS)
        for step in steps:
            if self.whole and step % 1:
                continue
            first, last = (math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9))
            if last - first < self.most:
                # Not number * step, which is 0.30000000000000004.
                return [round(number * step, 12) for number in range(first, last + 1)]
        return [self.low, self.high]

    @classmethod
    def around(cls, *values: float, most: int = 6, whole: bool = False) -> "Linear":
        """Return a scale that contains all values, with a little room on both sides."""
        low, high = min(values), max(values)
        room = (high - low or abs(high) or 1) * 0.05
        return cls(low - room, high + room, most, whole)


@dataclasses.dataclass(frozen=True)
class Logarithmic:
    """A scale of powers of ten; 0 is placed at its lower end."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value lies."""
        return _between(math.log(max(value, self.low)), math.log(self.low), math.log(self.high))

    def ticks(self) -> list[float]:
        """Return the powers of ten."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        return [10.0**power for power in range(first, last + 1)]


@dataclasses.dataclass(frozen=True)
class LogarithmicCounts:
    """A scale of powers of ten that is linear near 0, so that it has room for 0 and 1."""

    high: float
    low: float = 0.0

    def place(self, value: float) -> float:
        """Return the position of a count."""
        return _between(_stretch(value), 0, _stretch(self.high))

    def ticks(self) -> list[float]:
        """Return 0 and the powers of ten."""
        powers = range(math.floor(math.log10(self.high)) + 1)
        return [0.0, *(10.0**power for power in powers)]


@dataclasses.dataclass(frozen=True)
class Nines:
    """A scale of probabilities near 1: equal steps divide the distance to 1 by the same factor."""

    low: float
    high: float = 1 - 1e-6

    def place(self, value: float) -> float:
        """Return the position of a probability; 1 is placed at the upper end."""
        return _between(_nines(min(value, self.high)), _nines(self.low), _nines(self.high))

    def ticks(self) -> list[float]:
        """Return 0.5, 0.9, 0.99 and so on."""
        nines = (round(1 - 10.0**-power, 9) for power in range(1, 6))
        return [tick for tick in (0.5, *nines) if tick >= self.low]


def _nines(probability: float) -> float:
    return -math.log10(1 - probability)


def _stretch(count: float) -> float:
    if count <= _LINEAR_TO:
        return count / 0.9
    return _LINEAR_TO * (1 / 0.9 + math.log10(count / _LINEAR_TO))


def _between(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
