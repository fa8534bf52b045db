"""The tables of how often drift is found, with and without any."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchmarks.tables import Table
from digitmill.reports.numbers import fraction
from pipelines.report.drift import MEASURE_NAMES
from schemas.model.accuracy import percent, wilson

FILE: Final = "drift.json"
"""What `benchmarks.drift` has simulated, in docs/benchmarks."""

NAMES: Final = ("drift",)


def blocks(path: pathlib.Path) -> dict[str, str]:
    """Return the contents of the measured part of docs/drift.md, if it was simulated."""
    if not path.exists():
        return {}
    return {"drift": "\n\n".join(table.to_markdown() for table in tables(json.loads(path.read_text())))}


def tables(found: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the tables of what `benchmarks.drift` simulated."""
    yield Table(
        f"Runs with a shift although there is none, of {found['training_images']:,} training images",
        ("images of a run", "runs", "with a shift", "95 % interval"),
        [
            (f"{row['images']:,}", f"{row['runs']:,}", percent(row["shifts"] / row["runs"]), _interval(row))
            for row in found["false_alarms"]
        ],
    )
    shares = sorted({row["share"] for row in found["power"]})
    names = dict.fromkeys(row["source"] for row in found["power"])
    cells = {(row["source"], row["share"]): row for row in found["power"]}
    yield Table(
        "Runs of 2,000 images with a shift, by the share that another source has, and the median figure",
        ("source", *(f"{share:.0%}" for share in shares)),
        [(name, *(_power(cells[name, share]) for share in shares)) for name in names],
    )
    measures = [name for name in MEASURE_NAMES if found["alone"][0]["measures"][name] is not None]
    yield Table(
        "Index of each measure, all images of the source",
        ("source", "images", *(MEASURE_NAMES[name] for name in measures)),
        [
            (row["source"], f"{row['images']:,}", *(fraction(row["measures"][name], 2) for name in measures))
            for row in found["alone"]
        ],
    )


def _interval(row: Mapping[str, Any]) -> str:
    low, high = wilson(row["shifts"], row["runs"])
    return f"{percent(low)} to {percent(high)}"


def _power(row: Mapping[str, Any]) -> str:
    return f"{row['shifts'] / row['runs']:.0%} ({fraction(row['figure'], 2)})"
