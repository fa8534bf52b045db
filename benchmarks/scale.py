"""What a run's launcher takes, step by step, for a million images, ten and a hundred million.

Usage: python -m benchmarks.scale [--images 1M 10M 100M] [--steps …] [--folder build/scale] [--publish]

Names and rows are synthetic; files and code are those of a real run. Each step is a process of its own, so
its peak memory is its own. A step that has a result is not run again: start the same command again to go on
after an interruption; --again measures the named steps anew. --publish puts the results into docs/scale.md.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from benchmarks import machine, process, scale_steps
from benchmarks.process import ROOT
from benchmarks.tables import Table

FILE: Final = "scale.json"
"""Name of the results."""

SIZES: Final = ("1M", "10M")
MEMORY_GROWTH: Final = 1.3
"""From size to size a step's memory may grow so much, whatever the number of images."""

WORKERS: Final = ("score", "score-again")
"""Steps that stand for the workers: they are run, and not reported."""

MEANINGS: Final = {
    "list": "names merged, checked for doubles and counted",
    "freeze": "names written as work items, and the index",
    "reconcile": "records read, checked and merged",
    "finish": "the same, then report and manifest: the end of every run",
    "report": "`digitmill report`: the report again from the records",
    "verify": "`digitmill verify`: every file and row read again",
    "export": "`digitmill review`: every row read, those for a person chosen",
    "export-parquet": "`digitmill export RUN rows.parquet`: all rows in one file",
    "export-csv": "`digitmill export RUN rows.csv`: all rows in one file",
    "since": "a second night listed and joined with the first",
    "compact": "`digitmill compact`: both nights merged into one state",
}
"""The steps that are reported, and what each does."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """One step at one size.

    Attributes:
        seconds: of the step, without the start of the process.
        processor_seconds: of its processes; other load on the machine hardly changes them.
        peak_bytes: of its process, or of all its processes together if that is more.
        folders: files and bytes in each folder afterwards.
    """

    images: int
    per_folder: int
    step: str
    seconds: float
    processor_seconds: float
    peak_bytes: int
    folders: dict[str, list[int]]


class Results:
    """The measured steps, kept in a JSON file."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        stored = json.loads(path.read_text()) if path.exists() else {"steps": []}
        self.steps = [Measured(**step) for step in stored["steps"]]
        self.machine: dict[str, Any] = stored.get("machine", {})

    def find(self, step: str, images: int) -> Measured | None:
        """Return a step's result; None if it was not measured."""
        wanted = (each for each in self.steps if (each.step, each.images) == (step, images))
        return next(wanted, None)

    def add(self, measured: Measured) -> None:
        """Keep a result, in place of an earlier one; another process may have added its own meanwhile."""
        self.steps = Results(self._path).steps
        key = (measured.step, measured.images)
        self.steps = [*(each for each in self.steps if (each.step, each.images) != key), measured]
        self.machine = machine.describe("synthetic names and rows")
        content = {"machine": self.machine, "steps": [dataclasses.asdict(each) for each in self.steps]}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(content, indent=1) + "\n")

    @property
    def sizes(self) -> list[int]:
        """The numbers of images that were measured."""
        return sorted({each.images for each in self.steps})


def parse_size(text: str) -> int:
    """Return a number of images: `1000`, `200k`, `10M`."""
    found = re.fullmatch(r"(\d+)([kM]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"a number of images, such as 10M; got {text!r}")
    return int(found[1]) * {"": 1, "k": 10**3, "M": 10**6}[found[2]]


def shown(images: int) -> str:
    """Return a number of images as `parse_size` reads it."""
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if images % unit == 0:
            return f"{images // unit}{name}"
    return str(images)


def measure(step: str, images: int, *, per_folder: int, folder: pathlib.Path) -> Measured:
    """Run one step in a process of its own."""
    place = folder / shown(images)
    place.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "benchmarks.scale_steps", step, place, images, per_folder)
    done = process.run(command, memory=process.memory_of)
    told = json.loads(done.output.splitlines()[-1])
    peak = max(told["peak_bytes"], done.peak_bytes)
    seconds, processor_seconds = (round(told[name], 3) for name in ("seconds", "processor_seconds"))
    return Measured(images, per_folder, step, seconds, processor_seconds, peak, told["folders"])


def tables(results: Results) -> Iterator[Table]:
    """Yield the tables of seconds, of processor seconds and of memory."""
    sizes = results.sizes
    steps = [step for step in MEANINGS if any(results.find(step, size) for size in sizes)]
    yield _table("Seconds on the clock", results, steps, lambda each: each.seconds, "{:,.1f}")
    yield _table("Processor seconds", results, steps, lambda each: each.processor_seconds, "{:,.1f}")
    yield _table("Peak memory, MB", results, steps, lambda each: each.peak_bytes / 1e6, "{:,.0f}")


def _table(
    title: str, results: Results, steps: Sequence[str], value: Callable[[Measured], float], form: str
) -> Table:
    header, rows = ["step"], [[step] for step in steps]
    for number, size in enumerate(results.sizes):
        header += [shown(size), *(["growth"] if number else [])]
        for row, step in zip(rows, steps, strict=True):
            here = results.find(step, size)
            row.append(form.format(value(here)) if here else "–")
            if number:
                before = results.find(step, results.sizes[number - 1])
                row.append(f"{value(here) / value(before):.2f}" if here and before else "–")
    return Table(title, header, rows)


def findings(results: Results) -> Iterator[str]:
    """Yield a line for each step whose memory grows with the number of images."""
    for before, size in zip(results.sizes, results.sizes[1:], strict=False):
        for step in MEANINGS:
            first, second = results.find(step, before), results.find(step, size)
            if first and second and second.peak_bytes > MEMORY_GROWTH * first.peak_bytes:
                growth = second.peak_bytes / first.peak_bytes
                yield f"{step}: memory grows by {growth:.2f} from {shown(before)} to {shown(size)} images"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", nargs="+", type=parse_size, default=[*map(parse_size, SIZES)])
    parser.add_argument("--steps", nargs="+", choices=scale_steps.STEPS, default=[*scale_steps.STEPS])
    parser.add_argument("--per-folder", type=int, default=10_000, metavar="IMAGES")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "scale")
    parser.add_argument("--again", action="store_true", help="measure the named steps anew")
    parser.add_argument("--publish", action="store_true", help="put the results into docs/scale.md")
    given = parser.parse_args()
    results = Results(given.folder / FILE)
    for images in given.images:
        for step in given.steps:
            if given.again or results.find(step, images) is None:
                print(f"{shown(images)} {step} …", end=" ", flush=True, file=sys.stderr)
                done = measure(step, images, per_folder=given.per_folder, folder=given.folder)
                times = f"{done.seconds:,.1f} s, {done.processor_seconds:,.1f} of processors"
                print(f"{times}, {done.peak_bytes / 1e6:,.0f} MB", file=sys.stderr)
                results.add(done)
    print("\n\n".join(table.to_text() for table in tables(results)))
    for line in findings(results):
        print(line)
    if given.publish:
        from benchmarks import page

        page.KEPT.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(given.folder / FILE, page.KEPT / FILE)
        page.write()


if __name__ == "__main__":
    main()
