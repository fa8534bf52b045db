"""Where the time of scoring goes: processor time per image by stage, beside what sets its limit.

Usage: python -m benchmarks.stages [--images N] [--rounds N]

Every stage is what a worker process runs, on the same images, in one thread; a stage within another is
clocked there. The median of the rounds counts, and rounds go through all stages in turn. `list` and
`freeze` are the launcher's. A core scores one image in the sum of the worker's stages. Below, what decoding
takes of scans, and the engines for CPUs that are installed, each in turn. Images and bundle are those of
`benchmarks.scoring`.
"""

import argparse
import contextlib
import gzip
import itertools
import pathlib
import statistics
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from typing import Any, Final
from unittest import mock

import numpy as np

from benchmarks import scans
from benchmarks.contenders import MODELS
from benchmarks.workspace import Workspace, write_images
from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_choice import CPU_KINDS, EngineKind, has_openvino
from digitmill.imaging.batch import decode_batch
from digitmill.storage import ImageReader, list_place, open_folder
from pipelines.listing.work_item import ITEM_SIZE, WorkItem, pack_items
from pipelines.scoring import classify, rows
from pipelines.scoring.classify import load_classifier
from pipelines.scoring.rows import write_parts
from schemas.digit import SIDE
from schemas.errors import UserError
from schemas.layout import Compression
from trainer.data.sources import embedded_sample

LIMITS: Final = {
    "list": "one stat a file, its name quoted",
    "freeze": "JSON by columns, gzip and a digest of every name",
    "load": "JSON and gzip again",
    "read": "open, fstat, read and close: the system's four calls",
    "decode": "libdeflate (4 to 5 us), filters of many files at once, whether a digit is canonical",
    "engine": "the network's arithmetic, one thread",
    "score": "chunks, temperature, best two, pixels kept for the page",
    "encode": "Example and CSV of a row, by columns, checksum, libdeflate",
    "write": "write, link and fsync of three files a work item, digests, statistics",
}
_LITERT: Final = (EngineKind.LITERT, EngineKind.LITERT_INT8)
_DIGITS: Final = 2_048
_SCANS: Final = 256
"""Of each kind."""
WORKER: Final = tuple(name for name in LIMITS if name not in ("list", "freeze"))


class Stages:
    """Runs each stage on what the one before it gave, and keeps the processor time of this thread.

    Args:
        folder: images.
        bundle: scores them.
        count: how many of the images are taken.
    """

    def __init__(self, folder: pathlib.Path, bundle: Bundle, count: int) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in LIMITS}
        self._folder = str(folder)
        self._count = count
        self._classifier = load_classifier(bundle, accept_threshold=0.9, challenger=None)
        self._reader = ImageReader()
        self.images = 0

    def run(self) -> None:
        """Go once through all stages."""
        images = self._timed("list", lambda: list(itertools.islice(list_place(self._folder), self._count)))
        self.images = len(images)
        frozen = self._timed("freeze", lambda: [_frozen(item) for item in pack_items(images, "run")])
        self._timed("load", lambda: [WorkItem.from_bytes(gzip.decompress(data)) for data in frozen])
        contents = self._timed("read", lambda: list(self._reader.read(images)))
        pairs = list(zip(images, contents, strict=True))
        items = [pairs[start : start + ITEM_SIZE] for start in range(0, len(pairs), ITEM_SIZE)]
        with self._clocked("decode", classify, "decode_batch"), self._clocked("engine", classify, "predict"):
            scored = self._timed("score", lambda: [self._classifier.classify(item) for item in items])
        self.seconds["score"][-1] -= self.seconds["decode"][-1] + self.seconds["engine"][-1]
        with self._clocked("encode", rows, "encode_rows"), tempfile.TemporaryDirectory() as place:
            self._timed(
                "write", lambda: [_written(place, number, some) for number, some in enumerate(scored)]
            )
        self.seconds["write"][-1] -= self.seconds["encode"][-1]

    def table(self) -> list[tuple[str, float, str]]:
        """Return name, median processor time in us an image, and limit of each stage."""
        medians = {name: statistics.median(values) for name, values in self.seconds.items()}
        return [(name, max(0.0, medians[name]) / self.images * 1e6, limit) for name, limit in LIMITS.items()]

    @contextlib.contextmanager
    def _clocked(self, name: str, module: types.ModuleType, function: str) -> Iterator[None]:
        """Keep the time of a stage within another one: a module's function is that stage."""
        real, spent = getattr(module, function), []

        def clocked(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return real(*given, **named)
            finally:
                spent.append(time.thread_time() - began)

        with mock.patch.object(module, function, clocked):
            yield
        self.seconds[name].append(sum(spent))

    def _timed(self, name: str, stage: Callable[[], Any]) -> Any:
        began = time.thread_time()
        result = stage()
        self.seconds[name].append(time.thread_time() - began)
        return result


def _frozen(item: WorkItem) -> bytes:
    return gzip.compress(item.to_bytes(), 1, mtime=0)


def _written(place: str, number: int, scored: Any) -> None:
    output = open_folder(place)
    record = write_parts(output, str(number), scored, compression=Compression.RECORDS)
    output.write_once(f"statistics/part-{number}.json", record.to_json().encode())


def engine_times(model: pathlib.Path, digits: np.ndarray, *, rounds: int) -> dict[str, float]:
    """Return the median processor time of each installed engine for CPUs, in us an image, taken in turn."""
    kinds = [kind for kind in EngineKind if kind in CPU_KINDS and (kind in _LITERT or has_openvino())]
    engines = {}
    for kind in kinds:
        # One that answers the golden batch otherwise is refused, and would not be chosen either.
        with contextlib.suppress(UserError):
            engines[kind] = open_bundle(model, kind).load()
    seconds: dict[str, list[float]] = {kind: [] for kind in engines}
    for _ in range(rounds):
        for kind, engine in engines.items():
            began = time.process_time()
            engine.probabilities(digits)
            seconds[kind].append(time.process_time() - began)
    return {kind: statistics.median(times) / len(digits) * 1e6 for kind, times in seconds.items()}


def decoding_times(*, count: int, rounds: int) -> dict[str, float]:
    """Return the median processor time of decoding each kind of scan to a digit, in us, taken in turn."""
    files = {kind.name: scans.files(kind, count) for kind in scans.KINDS}
    seconds: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(rounds):
        for name, contents in files.items():
            began = time.thread_time()
            decode_batch(contents, len(contents))
            seconds[name].append(time.thread_time() - began)
    return {name: statistics.median(times) / count * 1e6 for name, times in seconds.items()}


def lines(table: list[tuple[str, float, str]], images: int) -> list[str]:
    """Return the table for people."""
    worker = sum(microseconds for name, microseconds, _ in table if name in WORKER)
    lines = [f"{name:8} {microseconds:7.2f}  {limit}" for name, microseconds, limit in table]
    total = f"{'worker':8} {worker:7.2f}  {1e6 / worker:,.0f} images/s a core at most"
    return [f"{images:,} images, processor time of one thread, us an image", *lines, total]


def measure(folder: pathlib.Path, model: pathlib.Path, *, count: int, rounds: int) -> Stages:
    """Return the stages after so many rounds, and one more to warm up."""
    stages = Stages(folder, open_bundle(model), count)
    stages.run()
    for values in stages.seconds.values():
        values.clear()
    for _ in range(rounds):
        stages.run()
    return stages


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=12_288)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "images"
        write_images(folder, arguments.images)
        model = Workspace(pathlib.Path(name)).trained(MODELS[0]).bundle
        stages = measure(folder, model, count=arguments.images, rounds=arguments.rounds)
        digits = np.resize(embedded_sample.digits().test.images, (_DIGITS, SIDE, SIDE))
        engines = engine_times(model, digits, rounds=max(5, arguments.rounds))
    print("\n".join(lines(stages.table(), stages.images)))
    decoding = decoding_times(count=min(_SCANS, arguments.images), rounds=max(5, arguments.rounds))
    print("scans, decoded:", "; ".join(f"{name} {each:.1f}" for name, each in decoding.items()))
    print("engines:", ", ".join(f"{kind} {microseconds:.1f}" for kind, microseconds in engines.items()))


if __name__ == "__main__":
    main()
