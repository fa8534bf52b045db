"""The tables of how well a model reads digits of many kinds, and how often it accepts what is none."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchmarks.tables import Table
from schemas.model.accuracy import percent, wilson
from trainer.data.drawing.not_digits import LOOKALIKES

FILE: Final = "robustness.json"
"""What `benchmarks.robustness` has measured, in docs/benchmarks."""

NAMES: Final = ("robustness-validation", "robustness-test")


def blocks(path: pathlib.Path) -> dict[str, str]:
    """Return the contents of the measured parts of docs/model.md, by name, as far as they were measured."""
    if not path.exists():
        return {}
    return {
        f"robustness-{part}": "\n\n".join(table.to_markdown() for table in tables(found))
        for part, found in json.loads(path.read_text()).items()
    }


def tables(found: Mapping[str, Any]) -> Iterator[Table]:
    """Yield a table of digits and one of pictures that are none, of what `benchmarks.robustness` measured."""
    digits = [row for row in found["rows"] if "right" in row]
    title = f"Digits ({found['part']}), accepted from a confidence of {found['threshold']:.4f} on"
    header = ("set", "images", "right (95 % interval)", "no digit found", "accepted", "right of accepted")
    yield Table(title, header, [_digits(row) for row in digits])
    others = [row for row in found["rows"] if "right" not in row]
    apart = [row for row in others if row["name"] == LOOKALIKES]
    others = [row for row in others if row not in apart]
    header = ("kind", "images", "no digit found", "wrongly accepted (95 % interval)")
    yield Table("No single digit", header, [_unfamiliar(row) for row in [*others, _all(others), *apart]])


def _digits(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['images']:,}",
        _share(row["right"], row["images"]),
        f"{row['failed']:,}",
        percent(row["accepted"] / row["images"]),
        percent(row["accepted_right"] / row["accepted"]) if row["accepted"] else "–",
    )


def _unfamiliar(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row["name"], f"{row['images']:,}", f"{row['failed']:,}", _share(row["accepted"], row["images"])


def _all(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {"name": "all"} | {
        field: sum(row[field] for row in rows) for field in ("images", "failed", "accepted")
    }


def _share(part: int, whole: int) -> str:
    low, high = wilson(part, whole)
    return f"{percent(part / whole)} ({100 * low:.2f} to {100 * high:.2f})"
