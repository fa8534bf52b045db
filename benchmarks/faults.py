"""Scores a bucket whose store fails in the ways that stores fail, and counts what is lost.

Usage: python -m benchmarks.faults [--images N] [--only FAULT] [--code FOLDER]

Each fault begins after the first reads of a run over N images. Afterwards, as the night after, the store is
well, and the same images are scored with --since; a run that was stopped is resumed instead. `--code` is the
checkout whose code runs, so that two versions can be compared.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import Final

from benchmarks.process import ROOT
from benchmarks.stand_in_store import VARIABLE, Faults, begin, counts, serving
from benchmarks.workspace import Workspace

_LASTING: Final = 1e9

FAULTS: Final = {
    "none": Faults(),
    "503 for 10 s": Faults(503, 10, after=1000),
    "429 for 15 s": Faults(429, 15, after=1000),
    "401 for 5 s": Faults(401, 5, after=1000),
    "401 for 5 s from the start": Faults(401, 5),
    "503 for 10 s, writes too": Faults(503, 10, after=1000, everything=True),
    "403 on every read": Faults(403, _LASTING),
    "403 for 5 s": Faults(403, 5, after=1000),
    "503 for good": Faults(503, _LASTING, after=1000),
    "500/s granted": Faults(rate=500),
}

_SCORED: Final = re.compile(r"^(scored|failed|skipped)\s+([\d,]+)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        code: exit code.
        seconds: from start to exit.
        counts: images scored, failed and skipped, as the summary says.
        reads: requests for objects.
        last: its last line.
    """

    code: int
    seconds: float
    counts: dict[str, int]
    reads: int
    last: str

    def __str__(self) -> str:
        counted = ", ".join(f"{name} {count:,}" for name, count in self.counts.items()) or self.last
        return f"exit {self.code} after {self.seconds:.0f} s, {self.reads:,} reads: {counted}"


def measure(address: str, faults: Faults, *options: str, code: pathlib.Path) -> Outcome:
    """Run `digitmill score` while the store has these faults."""
    begin(address, faults)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "digitmill", "score", "--input", "gs://digits", *options],
        cwd=code,
        env={**os.environ, VARIABLE: address},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {name: int(count.replace(",", "")) for name, count in _SCORED.findall(done.stdout)}
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or [""]
    return Outcome(done.returncode, time.monotonic() - started, found, counts(address)["reads"], lines[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--only", action="append", choices=FAULTS, help="a fault; may be repeated")
    parser.add_argument("--code", type=pathlib.Path, default=ROOT)
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "bench")
    arguments, further = parser.parse_known_args()
    folder = buckets(Workspace(arguments.folder.resolve()), arguments.images)
    with serving(folder) as address:
        for number, name in enumerate(arguments.only or FAULTS):
            output = f"gs://out/{number}"
            faulty = measure(address, FAULTS[name], "--output", output, *further, code=arguments.code)
            print(f"{name}\n  {faulty}, {faulty.reads / arguments.images:.3f} an image", flush=True)
            again = ("--output", output, "--resume")
            since = ("--output", f"{output}-after", "--since", output)
            after = measure(address, Faults(), *(again if faulty.code == 1 else since), code=arguments.code)
            print(f"  {'resumed' if faulty.code == 1 else 'the night after'}: {after}", flush=True)


def buckets(workspace: Workspace, images: int) -> pathlib.Path:
    """Return a folder with a bucket `digits` of so many images, and an empty bucket `out`."""
    folder = workspace.folder / f"buckets-{images}"
    (folder / "out").mkdir(parents=True, exist_ok=True)
    if not (folder / "digits").exists():
        (folder / "digits").symlink_to(workspace.images(images))
    return folder


if __name__ == "__main__":
    main()
