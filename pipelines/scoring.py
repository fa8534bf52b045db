"""Scores one work item: read, decode, ask the model, write once. Knows nothing of Beam."""

import hashlib
import pathlib

import numpy as np

from imaging.batch import DigitBatch, decode_batch
from pipelines.engine import LiteRtEngine
from pipelines.rows import encode_csv, encode_tfrecord_gz, prediction_columns
from pipelines.scored import Scored, summarise
from pipelines.statistics import ItemStatistics
from pipelines.storage import read_images, write_once
from pipelines.work_item import WorkItem
from schemas.failure import Failure
from schemas.manifest import Part

PREDICTIONS = "predictions"
"""Folder of the prediction files within the output."""

STATISTICS = "statistics"
"""Folder of the work items' statistics records within the output."""

_CHUNK = 512
"""Images that are decoded before the model is asked: enough for full batches, little memory."""


def statistics_file(output: pathlib.Path, digest: str) -> pathlib.Path:
    """Returns where a work item's statistics record stands."""
    return output / STATISTICS / f"part-{digest}.json"


def score_and_write(
    item: WorkItem, engine: LiteRtEngine, *, output: pathlib.Path, accept_threshold: float
) -> ItemStatistics:
    """Scores a work item and writes its files, unless they are there already.

    The order makes a crash harmless: the statistics record is written last, and an item without one
    is scored again, to the same bytes under the same names.
    """
    record = statistics_file(output, item.digest)
    if record.exists():
        return ItemStatistics.from_json(record.read_text(encoding="utf-8"))
    scored = score(item, engine, accept_threshold=accept_threshold)
    columns = prediction_columns(scored)
    files = {
        f"{PREDICTIONS}/part-{item.digest}.tfrecord.gz": encode_tfrecord_gz(columns),
        f"{PREDICTIONS}/part-{item.digest}.csv": encode_csv(columns),
    }
    for name, data in files.items():
        write_once(output / name, data)
    parts = tuple(
        Part(name, rows=len(scored.images), bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in files.items()
    )
    statistics = summarise(item, scored, parts)
    write_once(record, statistics.to_json().encode())
    return statistics


def score(item: WorkItem, engine: LiteRtEngine, *, accept_threshold: float) -> Scored:
    """Reads, decodes and scores a work item; every image ends up scored or failed."""
    chunks = [item.images[start : start + _CHUNK] for start in range(0, len(item.images), _CHUNK)]
    batches, probabilities = [], []
    for chunk in chunks:
        batch = decode_batch(read_images(chunk), len(chunk))
        valid = np.array([error is None for error in batch.errors])
        batches.append(batch)
        probabilities.append(engine.probabilities(batch.digits[valid]))
    errors = [error for batch in batches for error in batch.errors]
    first, second, confidence, second_confidence = _top_two(np.concatenate(probabilities))
    return Scored(
        images=tuple(image for image, error in zip(item.images, errors, strict=True) if error is None),
        digits=np.concatenate([_valid_digits(batch) for batch in batches]),
        first=first,
        second=second,
        confidence=confidence,
        second_confidence=second_confidence,
        accepted=confidence >= np.float32(accept_threshold),
        failures=tuple(
            Failure(image.uri, image.generation, error.code, error.detail)
            for image, error in zip(item.images, errors, strict=True)
            if error is not None
        ),
    )


def _valid_digits(batch: DigitBatch) -> np.ndarray:
    return batch.digits[[error is None for error in batch.errors]]


def _top_two(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the two most probable classes of each row and their probabilities, within [0, 1]."""
    rows = np.arange(len(probabilities))
    first = probabilities.argmax(axis=1)
    confidence = probabilities[rows, first]
    rest = probabilities.copy()
    rest[rows, first] = -1
    second = rest.argmax(axis=1)
    # A softmax in float32 can give 1 + 1e-7.
    return first, second, np.clip(confidence, 0, 1), np.clip(rest[rows, second], 0, 1)
