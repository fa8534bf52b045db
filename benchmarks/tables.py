"""The tables that the runs of each comparison are shown in."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

from benchmarks.results import Results

DIGITMILL = "digitmill"


@dataclasses.dataclass(frozen=True)
class Table:
    """A titled table.

    Attributes:
        title: a line above it; empty for none in Markdown.
        header: names of the columns; the first is of words, the others of numbers.
        rows: as many texts each as the header has.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_text(self) -> str:
        """Return the table in columns of spaces, numbers to the right."""
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join([self.title, *("  ".join(_aligned(line, widths)).rstrip() for line in lines)])

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        rule = ["---", *["--:"] * (len(self.header) - 1)]
        lines = [self.header, rule, *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"**{self.title}**\n\n{table}" if self.title else table


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]


def scoring(results: Results) -> Iterator[Table]:
    """Yield a table for each model and number of images."""
    yield from _compared(results.where(section="scoring"))


def scans(results: Results) -> Iterator[Table]:
    """Yield a table for each kind of scan."""
    yield from _compared(results.where(section="scans"))


def _compared(results: Results) -> Iterator[Table]:
    header = (
        "",
        "seconds: median (all)",
        "images/s",
        "digitmill is",
        "command, s",
        "memory, MB",
        "right",
    )
    for of_model in parts(results, "model"):
        for those in parts(of_model, "images"):
            images = those[0].images
            ours = those.where(contender=DIGITMILL)
            rows = [_scoring_row(runs, ours) for runs in parts(those, "contender")]
            yield Table(f"{those[0].model}, {images:,} images, {those[0].cores} cores", header, rows)


def _scoring_row(runs: Results, ours: Results) -> tuple[str, ...]:
    images, seconds = runs[0].images, runs.median("pipeline_seconds")
    return (
        runs[0].contender,
        _seconds(runs, "pipeline_seconds"),
        f"{images / seconds:,.0f}",
        _times(seconds / ours.median("pipeline_seconds")),
        f"{runs.median('command_seconds'):.2f}",
        _megabytes(runs.greatest("peak_bytes")),
        f"{100 * runs.median('right') / images:.2f} %",
    )


def growth(results: Results) -> Iterator[Table]:
    """Yield how digitmill's time and memory grow from the smallest folder to the largest."""
    rows = []
    for of_model in parts(results.where(section="scoring", contender=DIGITMILL), "model"):
        sizes = sorted(of_model.distinct("images"))
        if len(sizes) > 1:
            rows.append(_growth_row(of_model.where(images=sizes[0]), of_model.where(images=sizes[-1])))
    if rows:
        yield Table("digitmill, growth", ("", "images", "seconds", "times", "memory, MB", "times"), rows)


def _growth_row(less: Results, more: Results) -> tuple[str, ...]:
    seconds = [runs.median("pipeline_seconds") for runs in (less, more)]
    peaks = [runs.greatest("peak_bytes") for runs in (less, more)]
    return (
        less[0].model,
        f"{less[0].images:,} → {more[0].images:,}",
        f"{seconds[0]:.2f} → {seconds[1]:.2f}",
        f"{seconds[1] / seconds[0]:.2f}",
        f"{_megabytes(peaks[0])} → {_megabytes(peaks[1])}",
        f"{peaks[1] / peaks[0]:.2f}",
    )


def cores(results: Results) -> Iterator[Table]:
    """Yield digitmill's speed by the number of cores."""
    those = results.where(section="cores")
    if not those:
        return
    by_cores = parts(those, "cores")
    first = by_cores[0].median("pipeline_seconds")
    rows = [
        (
            str(runs[0].cores),
            _seconds(runs, "pipeline_seconds"),
            f"{runs[0].images / runs.median('pipeline_seconds'):,.0f}",
            _times(first / runs.median("pipeline_seconds")),
        )
        for runs in by_cores
    ]
    title = f"digitmill, {those[0].model}, {those[0].images:,} images, by cores"
    yield Table(title, ("cores", "seconds: median (all)", "images/s", "one core is"), rows)


def start(results: Results) -> Iterator[Table]:
    """Yield how long short commands take."""
    those = results.where(section="start")
    if those:
        rows = [
            (f"digitmill {_short_command(runs)}", _seconds(runs, "command_seconds", digits=3))
            for runs in parts(those, "contender")
        ]
        yield Table("Start, whole command", ("", "seconds: median (all)"), rows)


def _short_command(runs: Results) -> str:
    return f"score, {runs[0].images} images" if runs[0].images else runs[0].contender


def buckets(results: Results) -> Iterator[Table]:
    """Yield speed, requests and the client's processor time from an object store."""
    those = results.where(section="buckets")
    if not those:
        return
    ours = rate_from_bucket(those.where(contender=DIGITMILL))
    rows = []
    for runs in parts(those, "contender"):
        rate, counted = rate_from_bucket(runs), results.where(section="requests", contender=runs[0].contender)
        each = counted.median("requests") / counted[0].images if counted else math.nan
        rows.append(
            (
                runs[0].contender,
                f"{max(runs.distinct('images')):,}",
                f"{rate:,.0f}",
                _times(ours / rate),
                f"{each:.2f}",
                f"{processor_of_image(runs):,.0f}",
            )
        )
    header = (
        "",
        "images",
        "images/s",
        "digitmill is",
        "requests an image",
        "client's CPU, µs an image",
    )
    yield Table(f"{those[0].model}, from an emulator of GCS on the same machine", header, rows)


def rate_from_bucket(runs: Results) -> float:
    """Return images/s of pipeline time in a contender's largest bucket."""
    largest = runs.where(images=max(runs.distinct("images"), default=0))
    return largest[0].images / largest.median("pipeline_seconds") if largest else math.nan


def processor_of_image(runs: Results) -> float:
    """Return processor time of an image, µs, start-up apart: largest bucket against smallest."""
    sizes = sorted(runs.distinct("images"))
    if len(sizes) < 2:
        return math.nan
    less, more = (runs.where(images=size).median("processor_seconds") for size in (sizes[0], sizes[-1]))
    return 1e6 * (more - less) / (sizes[-1] - sizes[0])


def training(results: Results) -> Iterator[Table]:
    """Yield a table for each network."""
    header = ("", "seconds an epoch: median (all)", "images/s", "digitmill is")
    for those in parts(results.where(section="training"), "model"):
        ours = those.where(contender=DIGITMILL).median("pipeline_seconds")
        rows = [
            (
                runs[0].contender,
                _seconds(runs, "pipeline_seconds"),
                f"{runs[0].images / runs.median('pipeline_seconds'):,.0f}",
                _times(runs.median("pipeline_seconds") / ours),
            )
            for runs in parts(those, "contender")
        ]
        yield Table(f"Training {those[0].model}, epochs of {those[0].images:,} images", header, rows)


SECTIONS = {
    "scoring": scoring,
    "scans": scans,
    "growth": growth,
    "cores": cores,
    "start": start,
    "buckets": buckets,
    "training": training,
}
"""For each part of the page what makes its tables."""


def parts(results: Results, field: str) -> list[Results]:
    """Return the runs apart by a field's value."""
    return [results.where(**{field: value}) for value in results.distinct(field)]


def _seconds(runs: Results, field: str, *, digits: int = 2) -> str:
    every = ", ".join(f"{getattr(run, field):.{digits}f}" for run in runs)
    return f"{runs.median(field):.{digits}f} ({every})"


def _times(ratio: float) -> str:
    return f"{ratio:.2f} ×"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f}"
