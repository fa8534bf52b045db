"""Checks training and scoring on this machine's GPUs, in under eight minutes on one of them.

Usage: python -m benchmarks.gpu_check [--output build/gpu-check] [--data idx:DIR] [--allow-cpu] [--tiny]

Needs digitmill's installed wheels, with CUDA's libraries (pip install 'digitmill[gpu]'), and no network: the
digits are MNIST's where they lie beside the checkout, else those of the embedded sample. Every part runs in
processes of its own; one that fails is reported, and the others go on. Writes gpu_check.json and gpu_check.md
into the output folder, prints the latter, and ends with 1 if a part has failed. `--allow-cpu` runs the same
on logical CPUs, which shows only that the check itself works.
"""

import argparse
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks import machine
from benchmarks.gpu_check import parts, summary
from benchmarks.gpu_check.parts import FULL, TINY, Check
from benchmarks.workspace import SHARED, mnist_available

SECONDS: Final = 480
"""Time for the whole check; what would begin later is left out, and fails."""


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/gpu-check"))
    parser.add_argument("--data", default=f"idx:{SHARED}" if mnist_available() else "sample")
    parser.add_argument("--allow-cpu", action="store_true", help="run on CPUs where there is no GPU")
    parser.add_argument("--tiny", action="store_true", help="as small as possible, to test the check")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for the whole check")
    return parser.parse_args(words)


def run(check: Check, seconds: float) -> dict[str, Any]:
    """Run all parts and return what each found, with its seconds and, if it failed, the error."""
    found: dict[str, Any] = {}
    deadline = time.monotonic() + seconds
    for name, part in parts.PARTS.items():
        started = time.monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            result = part(check, deadline - started)
        except parts.PartError as error:
            result = {"error": str(error)}
        found[name] = {**result, "seconds": round(time.monotonic() - started, 1)}
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Run the check and return its exit code."""
    given = arguments(words)
    shutil.rmtree(given.output, ignore_errors=True)
    given.output.mkdir(parents=True)
    effort = TINY if given.tiny else FULL
    check = Check(given.output, given.data, effort=effort, allow_cpu=given.allow_cpu)
    found = {"machine": machine.describe(given.data), "parts": run(check, given.seconds)}
    write(given.output, found)
    return int(any(summary.failures(found["parts"])))


def write(folder: pathlib.Path, found: Mapping[str, Any]) -> None:
    """Write JSON and table, and print the table."""
    (folder / "gpu_check.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    text = summary.page(found)
    (folder / "gpu_check.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
