"""Synthetic runs of any size: names instead of a listing, and rows as if workers had scored them.

Names, sizes and confidences follow from an image's number, so that a run is the same every time. Files are
written by the code that writes those of a real run, in its formats.
"""

import dataclasses
import functools
import hashlib
import multiprocessing
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from digitmill.imaging.canonical import PREPROCESSING_VERSION
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from pipelines.listing.frozen_listing import ItemRef, load_item
from pipelines.listing.relative_names import RelativeNames
from pipelines.scoring.report_samples import ReportSamples
from pipelines.scoring.rows import write_parts
from pipelines.scoring.scored_batch import ScoredBatch
from schemas.digit import CLASSES, SIDE
from schemas.failure import Failure, FailureCode
from schemas.layout import Compression, part_order, statistics_name
from schemas.prediction import NO_LABEL, NO_NUMBER
from schemas.run_plan import RunPlan

THRESHOLD: Final = 0.9
INPUT: Final = "gs://scans/in"
RUN: Final = hashlib.sha256(b"scale").hexdigest()
"""Digest of what rows depend on, as the launcher makes it from a plan."""

_FAILED_OF: Final = 20
"""One image in so many fails."""

_CHANGED_OF: Final = 100
"""One image in so many is a new version in the second night."""

_CODES: Final = (FailureCode.CORRUPT, FailureCode.BLANK, FailureCode.UNREADABLE, FailureCode.EMPTY)
_SAMPLED: Final = 256
"""Images of an item that samples for the report are taken from: drawing more would cost most of the time."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """A synthetic run.

    Attributes:
        images: their number.
        per_folder: images in a folder; 1 gives each image a folder of its own.
    """

    images: int
    per_folder: int = 10_000

    def listed(self, night: int = 0) -> Iterator[ListedImage]:
        """Yield the images as a night lists them, in the order of their names."""
        for number in range(self.images):
            changed = night and number % _CHANGED_OF == 0
            yield ListedImage(
                f"{INPUT}/batch-{number // self.per_folder:08d}/image-{number:010d}.png",
                1_700_000_000_000_000 + number + (night * 10**12 if changed else 0),
                200 + number % 300,
                checksum="AAAAAA==",
            )


def plan(past: dict[str, str] | None = None) -> RunPlan:
    """Return the plan of a synthetic run."""
    settings = {
        "accept_threshold": THRESHOLD,
        "engine": "litert_int8",
        "challenger": None,
        "input_list_digest": None,
        "labels_digest": None,
        "pages": "all",
        "limit": None,
        "sample": None,
    }
    return RunPlan(
        (INPUT,), hashlib.sha256(b"model").hexdigest(), PREPROCESSING_VERSION, settings, past or {}
    )


def score_items(place: str, refs: Iterable[ItemRef], *, processes: int) -> None:
    """Write predictions and a statistics record for each work item, as workers would."""
    work = functools.partial(_score_item, place)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for _ in pool.imap_unordered(work, refs, chunksize=4):
            pass


def _score_item(place: str, ref: ItemRef) -> None:
    output: OutputFolder = open_folder(place)
    item = load_item(output, ref)
    record = statistics_name(item.digest)
    if not output.exists(record):
        scored = _predict(item.images, seed=int(item.digest[:8], 16))
        # Gzipped, so that a hundred million rows fit on a small disk.
        statistics = write_parts(
            output,
            item.digest,
            scored,
            order=part_order(*ref),
            compression=Compression.ALL,
            names=RelativeNames((INPUT,)),
        )
        output.write_once(record, statistics.to_json().encode())


def _predict(images: tuple[ListedImage, ...], *, seed: int) -> ScoredBatch:
    random = np.random.default_rng(seed)
    failed = random.random(len(images)) < 1 / _FAILED_OF
    kept = tuple(image for image, fails in zip(images, failed, strict=True) if not fails)
    codes = random.integers(0, len(_CODES), len(images)).tolist()
    failures = tuple(
        Failure(image.uri, image.generation, _CODES[code], "the image cannot be read: synthetic")
        for image, code, fails in zip(images, codes, failed, strict=True)
        if fails
    )
    first = random.integers(0, CLASSES, len(kept))
    confidence = (1 - 0.7 * random.random(len(kept)) ** 12).astype(np.float32)
    return ScoredBatch(
        images=kept,
        first=first,
        second=(first + 1) % CLASSES,
        confidence=confidence,
        second_confidence=(1 - confidence).astype(np.float32),
        accepted=confidence >= THRESHOLD,
        challenger=np.full(len(kept), NO_LABEL),
        challenger_confidence=np.full(len(kept), NO_NUMBER, np.float32),
        failures=failures,
        samples=_samples(kept[:_SAMPLED], first, confidence, random),
    )


def _samples(
    images: tuple[ListedImage, ...], first: np.ndarray, confidence: np.ndarray, random: np.random.Generator
) -> ReportSamples:
    samples, count = ReportSamples(), len(images)
    probabilities = np.zeros((count, CLASSES), np.float32)
    probabilities[np.arange(count), first[:count]] = confidence[:count]
    digits = np.zeros((count, SIDE, SIDE), np.uint8)
    digits[:, 4:24, 4:24] = random.integers(0, 256, (count, 20, 20))
    missing = np.full((count, CLASSES), np.nan, np.float32)
    samples.add(images, digits, start=0, probabilities=probabilities, challenger_probabilities=missing)
    return samples
