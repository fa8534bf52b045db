"""The measured parts of docs/scale.md: tables, files, and a billion images reckoned from them."""

import math
import pathlib
from collections.abc import Iterator
from typing import Final

from benchmarks import machine, scale
from benchmarks.scale import Measured, Results
from benchmarks.tables import Table
from digitmill.storage.object_stores.throttle import DOUBLING_SECONDS, START_RATE
from schemas.layout import LISTING, PREDICTIONS, STATISTICS

NAMES: Final = ("scale-machine", "scale-steps", "scale-files", "scale-rates", "scale-billion")

_BILLION: Final = 10**9
_PAGE: Final = 1000
"""Names that an answer to a listing request holds."""

_CLASS_A, _CLASS_B = 0.005 / 1000, 0.0004 / 1000
"""Dollars for a write or a listing, and for a read: cloud.google.com/storage/pricing, one region."""

_RATES: Final = (5_000, 20_000, 100_000)


def blocks(path: pathlib.Path) -> dict[str, str]:
    """Return the contents of the page's measured parts, by name; empty without measurements."""
    if not path.exists():
        return {}
    results = Results(path)
    return {
        "scale-machine": machine.sentences(results.machine),
        "scale-steps": "\n\n".join(table.to_markdown() for table in scale.tables(results)),
        "scale-files": _files(results).to_markdown(),
        "scale-rates": _rates().to_markdown(),
        "scale-billion": _billion(results).to_markdown(),
    }


def _finished(results: Results) -> list[Measured]:
    """Return the results of the step that ends the first night, at every size."""
    return [found for size in results.sizes if (found := results.find("finish", size))]


def _files(results: Results) -> Table:
    rows = []
    for found in _finished(results):
        kinds = [found.folders[f"night-1/{kind}"] for kind in (LISTING, STATISTICS, PREDICTIONS)]
        cells = [f"{files:,}, {size / 1e6:,.0f} MB" for files, size in kinds]
        rows.append(
            [scale.shown(found.images), *cells, f"{sum(size for _, size in kinds) / found.images:.0f}"]
        )
    header = ("images", "listing", "records", "predictions, all gzipped", "bytes an image")
    return Table("Files that a run writes", header, rows)


def _rates() -> Table:
    rows = []
    for rate in _RATES:
        reached = DOUBLING_SECONDS * math.log2(rate / START_RATE) if rate > START_RATE else 0.0
        rows.append([f"{rate:,}", _duration(reached), _duration(seconds_of_reads(_BILLION, rate))])
    rows.append(["the ramp alone", "–", _duration(seconds_of_reads(_BILLION, math.inf))])
    header = ("reads a second, at most", "reached after", "a billion reads take")
    return Table(f"From {START_RATE:,.0f} reads a second, doubled every 20 minutes", header, rows)


def seconds_of_reads(reads: int, rate: float) -> float:
    """Return how long reads take whose rate begins at the ramp's start and doubles up to `rate`."""
    start = min(START_RATE, rate)
    # The integral of start * 2^(t / d) is d / ln 2 * (rate(t) - start).
    slope = DOUBLING_SECONDS / math.log(2)
    ramped = slope * (rate - start)
    if reads <= ramped:
        return DOUBLING_SECONDS * math.log2(1 + reads / slope / start)
    return DOUBLING_SECONDS * math.log2(rate / start) + (reads - ramped) / rate


def _billion(results: Results) -> Table:
    rows = list(_reckoned(results)) if results.sizes else []
    return Table("A billion images", ("step", "reckoned from", "comes to"), rows)


def _reckoned(results: Results) -> Iterator[list[str]]:
    pages = _BILLION // _PAGE
    yield ["list", f"{pages:,} requests of {_PAGE:,} names", f"${pages * _CLASS_A:,.0f}"]
    yield ["read", f"{_BILLION:,} requests", f"${_BILLION * _CLASS_B:,.0f}"]
    for found in _finished(results)[-1:]:
        kinds = [found.folders[f"night-1/{kind}"] for kind in (LISTING, STATISTICS, PREDICTIONS)]
        share = _BILLION / found.images
        files, size = (sum(values) * share for values in zip(*kinds, strict=True))
        named = f"files and bytes of {scale.shown(found.images)} images × {share:,.0f}"
        yield ["write", named, f"{files:,.0f} files, {size / 1e9:,.0f} GB, ${files * _CLASS_A:,.2f}"]
    for step in scale.MEANINGS:
        measured = [found for size in results.sizes if (found := results.find(step, size))]
        if measured:
            last = measured[-1]
            seconds = last.processor_seconds * _BILLION / last.images
            comes = f"{_duration(seconds)} of one core, {last.peak_bytes / 1e6:,.0f} MB"
            yield [step, f"{scale.shown(last.images)} images × {_BILLION // last.images:,}", comes]


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 36_000 else f"{seconds / 3600:,.1f} h"
