"""What a training takes before its first step, and how much memory: for few images and for very many.

Usage: python -m benchmarks.training_data [--images 60k 1M 5M] [--source shards folder idx] [--folder DIR]

The images are MNIST's, repeated: as packed shards, as hard links in a folder, or in IDX files. Each source is
read by a process of its own: into memory; into an empty cache; shards also into an empty cache while training
goes on (`--stream`); and from that cache, now full. Memory is that of all processes without the pages of
mapped files, which the kernel drops where others need room. The factor is the growth of memory with the
images, in images: 1 if each is there once.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Final

import cv2
import numpy as np

from benchmarks import process, workspace
from benchmarks.process import ROOT
from benchmarks.scale import parse_size, shown
from benchmarks.tables import Table
from digitmill.records import encode_records
from schemas import packed
from schemas.digit import SIDE

SIZES: Final = ("60k", "1M")
WAYS: Final = ("memory", "cold", "stream", "warm")
_BASE: Final = 60_000
_SHARD: Final = 250_000


@dataclasses.dataclass(frozen=True)
class Measured:
    """One reading.

    Attributes:
        ready: seconds from the start of the process until TensorFlow is ready.
        read: seconds until the data is there; of a stream, until it and the steps are done.
        first: seconds until the first chunk of steps is done.
        processor: processor seconds until then; other load on the machine hardly changes them.
        images_per_second: of the steps after it.
        peak_bytes: greatest memory of all its processes, without mapped files.
    """

    source: str
    way: str
    images: int
    ready: float
    read: float
    first: float
    processor: float
    images_per_second: float | None
    peak_bytes: int


def pngs() -> tuple[list[bytes], np.ndarray]:
    """Return the PNGs and labels that are repeated."""
    images, labels = workspace.digits(_BASE)
    return [cv2.imencode(".png", image)[1].tobytes() for image in images], labels


def write_shards(folder: pathlib.Path, images: int) -> str:
    """Write packed shards; return the `--data` value."""
    contents, labels = pngs()
    for number, start in enumerate(range(0, images, _SHARD)):
        rows = np.arange(start, min(start + _SHARD, images)) % _BASE
        columns = {
            packed.ENCODED: [contents[row] for row in rows],
            packed.NAME: [f"file:///{row}.png" for row in rows],
            packed.LABEL: labels[rows].astype(np.int64),
            packed.GENERATION: rows.astype(np.int64),
        }
        (folder / f"packed-{number:05d}.tfrecord").write_bytes(encode_records(packed.COLUMNS, columns))
    return f"tfrecord:{folder}/packed-*.tfrecord"


def write_folder(folder: pathlib.Path, images: int) -> str:
    """Write a folder of hard links; return the `--data` value."""
    contents, labels = pngs()
    originals = folder.with_name(f"{folder.name}-originals")
    shutil.rmtree(originals, ignore_errors=True)
    originals.mkdir()
    for label in range(10):
        (folder / str(label)).mkdir()
    # A file system allows some 65,000 links of a file; each round has its own names.
    for number, content in enumerate(contents):
        (originals / f"{number}.png").write_bytes(content)
    for number in range(images):
        row = number % _BASE
        os.link(originals / f"{row}.png", folder / str(labels[row]) / f"{number:08d}.png")
    return f"folder:{folder}"


def write_idx(folder: pathlib.Path, images: int) -> str:
    """Write IDX files; return the `--data` value."""
    digits, labels = workspace.digits(_BASE)
    for part, count in (("train", images), ("t10k", len(digits))):
        with (
            (folder / f"{part}-images-idx3-ubyte").open("wb") as pictures,
            (folder / f"{part}-labels-idx1-ubyte").open("wb") as answers,
        ):
            pictures.write(struct.pack(">4I", 0x803, count, SIDE, SIDE))
            answers.write(struct.pack(">2I", 0x801, count))
            for start in range(0, count, _BASE):
                rows = slice(0, min(_BASE, count - start))
                pictures.write(digits[rows].tobytes())
                answers.write(labels[rows].tobytes())
    return f"idx:{folder}"


SOURCES: Final[dict[str, Callable[[pathlib.Path, int], str]]] = {
    "shards": write_shards,
    "folder": write_folder,
    "idx": write_idx,
}


def prepared(source: str, images: int, folder: pathlib.Path) -> str:
    """Return the `--data` value of a source, which is made once."""
    place = folder / f"{source}-{shown(images)}"
    marker = place.with_name(f"{place.name}.whole")
    if not marker.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        marker.write_text(SOURCES[source](place, images))
    return marker.read_text()


def measure(source: str, way: str, images: int, *, folder: pathlib.Path, steps: int) -> Measured:
    """Read a source in a process of its own."""
    spec, cache = prepared(source, images, folder), folder / f"cache-{source}-{shown(images)}"
    if way in ("cold", "stream"):
        shutil.rmtree(cache, ignore_errors=True)
    given = "-" if way == "memory" else str(cache)
    command = (
        sys.executable,
        "-m",
        "benchmarks.first_steps",
        spec,
        given,
        str(steps),
        *([way] * (way == "stream")),
    )
    done = process.run(command, memory=process.own_memory)
    told = json.loads(done.output.splitlines()[-1])
    times = {name: told[name] for name in ("ready", "read", "first", "processor", "images_per_second")}
    return Measured(source, way, images, peak_bytes=done.peak_bytes, **times)


def table(found: list[Measured]) -> Table:
    """Return the table of all readings."""
    header = ["source", "way", "images", "TensorFlow, s", "data, s", "steps, s", "processor, s", "images/s"]
    header += ["peak MB", "factor"]
    rows = []
    for one in found:
        smaller = [
            other
            for other in found
            if (other.source, other.way) == (one.source, one.way) and other.images < one.images
        ]
        grown = one.peak_bytes - smaller[-1].peak_bytes if smaller else 0
        factor = f"{grown / SIDE**2 / (one.images - smaller[-1].images):.2f}" if smaller else "–"
        speed = f"{one.images_per_second:,.0f}" if one.images_per_second else "–"
        rows.append(
            [
                one.source,
                one.way,
                f"{one.images:,}",
                *(f"{time:,.1f}" for time in (one.ready, one.read, one.first, one.processor)),
                speed,
                f"{one.peak_bytes / 1e6:,.0f}",
                factor,
            ]
        )
    return Table("", header, rows)


def readings(sizes: list[int], sources: list[str], ways: list[str]) -> Iterator[tuple[str, str, int]]:
    """Yield what to measure, in order: each source's cache is filled before it is used."""
    for source, way, images in itertools.product(sources, ways, sizes):
        if way != "stream" or source == "shards":
            yield source, way, images


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", nargs="+", type=parse_size, default=[*map(parse_size, SIZES)])
    parser.add_argument("--source", nargs="+", choices=SOURCES, default=["shards", "folder"])
    parser.add_argument("--way", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--steps", type=int, default=500, metavar="N")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "training-data")
    given = parser.parse_args()
    found = []
    for source, way, images in readings(sorted(given.images), given.source, given.way):
        found.append(measure(source, way, images, folder=given.folder, steps=given.steps))
        print(found[-1], file=sys.stderr, flush=True)
    print(table(found).to_text())


if __name__ == "__main__":
    main()
