"""Made-up runs for the tests of what is made from runs."""

import itertools
from collections.abc import Iterator

from benchmarks.contenders import SHIPPED
from benchmarks.results import Results, Run

SECONDS = {
    "digitmill": 1.0,
    "stock Beam": 13.0,
    "plain Keras": 4.5,
    "Ray Data": 12.0,
    "loop without Beam": 1.3,
    "loop, engine on 2 threads": 1.25,
}
"""For each contender the seconds of 10,000 images."""


def run(**changed: object) -> Run:
    """Return a run with some fields of one's own."""
    fields: dict = {
        "section": "scoring",
        "model": "dense-300-100",
        "images": 10_000,
        "contender": "digitmill",
        "turn": 0,
        "cores": 2,
        "pipeline_seconds": 1.0,
        "command_seconds": 3.0,
        "processor_seconds": 2.0,
        "peak_bytes": 200_000_000,
        "right": 9_700,
    }
    return Run(**fields | changed)


def every_run() -> Results:
    """Return runs of all sections, three rounds each, in which every target is reached."""
    return Results([*_scoring(), *_scans(), *_cores(), *_start(), *_buckets(), *_training()])


def _scoring() -> Iterator[Run]:
    sizes = ((10_000, 1.0), (60_000, 6.0))
    for model, (images, factor) in itertools.product(("dense-300-100", SHIPPED), sizes):
        for turn, (contender, seconds) in itertools.product(range(3), SECONDS.items()):
            taken = factor * seconds * (1 + 0.01 * turn)
            yield run(
                model=model,
                images=images,
                contender=contender,
                turn=turn,
                pipeline_seconds=taken,
                command_seconds=taken + 2,
                peak_bytes=0 if turn else 200_000_000,
                right=round(0.97 * images),
            )


def _scans() -> Iterator[Run]:
    for turn, contender in itertools.product(range(3), ("digitmill", "plain Keras")):
        yield run(section="scans", model="dense-300-100, 64 px JPEG", contender=contender, turn=turn)


def _cores() -> Iterator[Run]:
    for turn, cores in itertools.product(range(3), (1, 2)):
        yield run(
            section="cores",
            model=SHIPPED,
            turn=turn,
            cores=cores,
            pipeline_seconds=9.0 / cores,
        )


def _start() -> Iterator[Run]:
    for turn in range(3):
        yield run(section="start", model="", images=0, contender="--help", turn=turn, command_seconds=0.2)
        yield run(section="start", images=100, turn=turn, command_seconds=1.4)


def _buckets() -> Iterator[Run]:
    for turn in range(3):
        for images, seconds in ((100, 0.1), (10_000, 2.0)):
            busy = 2 + 100e-6 * images
            yield run(
                section="buckets",
                images=images,
                turn=turn,
                pipeline_seconds=seconds,
                processor_seconds=busy,
            )
        for images in (100, 1_000):
            yield run(
                section="buckets",
                contender="stock Beam",
                images=images,
                turn=turn,
                pipeline_seconds=0.01 * images,
                processor_seconds=9 + 0.005 * images,
            )
    yield run(section="requests", images=1_000, requests=1_010)
    yield run(section="requests", contender="stock Beam", images=1_000, requests=3_000)


def _training() -> Iterator[Run]:
    for turn, (contender, seconds) in itertools.product(
        range(3), {"digitmill": 1.0, "fit from NumPy": 2.5, "fit from tf.data": 2.0}.items()
    ):
        yield run(section="training", contender=contender, turn=turn, pipeline_seconds=seconds)
