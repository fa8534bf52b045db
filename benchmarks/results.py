"""The measured runs: one record each, kept as CSV, and the medians that tables are made of."""

import csv
import dataclasses
import math
import pathlib
import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Self

FILE: Final = "runs.csv"
"""Name of the CSV in a folder of results."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one contender.

    Attributes:
        section: which comparison it belongs to: `scoring`, `scans`, `cores`, `start`, `buckets` or
            `training`.
        model: recipe of the network, and the kind of scans; empty where none is run.
        images: how many it had.
        contender: who.
        turn: number of the round, from 0.
        cores: how many it was allowed.
        pipeline_seconds: its work without the start of the interpreter and imports; NaN where it is the
            whole command that counts.
        command_seconds: from the process's start to its exit.
        processor_seconds: that its processes used.
        peak_bytes: greatest memory of its process tree; 0 in the turns in which it was not sampled.
        requests: that an object store answered; 0 in the turns in which they were not counted.
        right: images whose digit it had right.
    """

    section: str
    model: str
    images: int
    contender: str
    turn: int
    cores: int
    pipeline_seconds: float
    command_seconds: float
    processor_seconds: float
    peak_bytes: int = 0
    requests: int = 0
    right: int = 0

    @classmethod
    def from_row(cls, row: dict[str, str]) -> Self:
        """Read a row of the CSV."""
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        return cls(**{name: kinds[name](text) for name, text in row.items()})  # type: ignore[operator]


def write(path: pathlib.Path, runs: Iterable[Run]) -> None:
    """Write runs as a CSV, seconds to the millisecond."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, [field.name for field in dataclasses.fields(Run)], lineterminator="\n")
        rows.writeheader()
        rows.writerows({name: _text(value) for name, value in vars(run).items()} for run in runs)


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def read(path: pathlib.Path) -> list[Run]:
    """Read what `write` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [Run.from_row(row) for row in csv.DictReader(file)]


class Results(Sequence[Run]):
    """Runs, with filters and statistics."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = tuple(runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, index: Any) -> Any:
        return self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def where(self, **wanted: object) -> "Results":
        """Return the runs whose fields have these values."""
        return Results(
            run for run in self if all(getattr(run, name) == value for name, value in wanted.items())
        )

    def distinct(self, field: str) -> list[Any]:
        """Return the values of a field, in the order in which they first appear."""
        return list(dict.fromkeys(getattr(run, field) for run in self))

    def median(self, field: str) -> float:
        """Return a field's median over the runs; NaN when there are none."""
        values = [getattr(run, field) for run in self]
        return statistics.median(values) if values else math.nan

    def greatest(self, field: str) -> float:
        """Return a field's greatest value; NaN when it is 0 everywhere, as where nothing was sampled."""
        return max((getattr(run, field) for run in self), default=0) or math.nan
