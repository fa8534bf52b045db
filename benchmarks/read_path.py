"""Processor time of an image from a bucket to a bucket, beside local files and obstore alone.

Usage: python -m benchmarks.read_path [--rounds 5] [--code FOLDER]

The store is `benchmarks.stand_in_store`, whose own time is not counted. What the start costs is left out: the
difference of a large folder and a small one counts. All take turns; medians are printed. `--code` is the
checkout whose code runs.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Final

import obstore
from obstore.store import GCSStore

from benchmarks.faults import buckets
from benchmarks.process import ROOT
from benchmarks.stand_in_store import VARIABLE, Faults, begin, counts, serving
from benchmarks.workspace import Workspace

SMALL: Final = 4_000
LARGE: Final = 20_000

_THREADS: Final = 12
"""Objects that digitmill reads at once."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--code", type=pathlib.Path, default=ROOT)
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "bench")
    arguments = parser.parse_args()
    workspace = Workspace(arguments.folder.resolve())
    folder, local = buckets(workspace, LARGE), workspace.images(LARGE)
    took: dict[str, list[float]] = {"local files": [], "bucket to bucket": [], "obstore alone": []}
    with serving(folder) as address:
        for turn in range(arguments.rounds):
            ways: dict[str, Callable[[int], float]] = {
                "local files": lambda n: score(
                    local, workspace.output("read-path"), n, address, arguments.code
                ),
                "bucket to bucket": lambda n, turn=turn: score(
                    "gs://digits", f"gs://out/{turn}-{n}", n, address, arguments.code
                ),
                "obstore alone": lambda n: alone(address, local, n),
            }
            for name, way in ways.items():
                took[name].append((way(LARGE) - way(SMALL)) / (LARGE - SMALL) * 1e6)
                print(f"round {turn + 1}, {name}: {took[name][-1]:.0f} us", file=sys.stderr, flush=True)
        begin(address, Faults())
        score("gs://digits", "gs://out/counted", LARGE, address, arguments.code)
        requests = counts(address)["requests"] / LARGE
    medians = {name: statistics.median(times) for name, times in took.items()}
    for name, median in medians.items():
        print(f"{name}: {median:.0f} us an image")
    bound = medians["local files"] + medians["obstore alone"]
    print(f"bucket to bucket / (local files + obstore alone): {medians['bucket to bucket'] / bound:.2f}")
    print(f"requests an image: {requests:.4f}")


def score(given: object, output: object, images: int, address: str, code: pathlib.Path) -> float:
    """Score the first images of a place; return the processor seconds of all processes."""
    command = [sys.executable, "-m", "digitmill", "score", "--input", given, "--output", output]
    command += ["--limit", images, "--workers", 2]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [str(argument) for argument in command],
        cwd=code,
        env={**os.environ, VARIABLE: address},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def alone(address: str, folder: pathlib.Path, images: int) -> float:
    """Read objects by obstore alone, in as many threads as digitmill uses; return the processor seconds.

    Their names are those of the files in `folder`.
    """
    store = GCSStore("digits", base_url=address, skip_signature=True, client_options={"allow_http": True})
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))[:images]

    def read(share: list[str]) -> None:
        for name in share:
            bytes(obstore.get(store, name).bytes())

    threads = [threading.Thread(target=read, args=(names[start::_THREADS],)) for start in range(_THREADS)]
    before = resource.getrusage(resource.RUSAGE_SELF)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
