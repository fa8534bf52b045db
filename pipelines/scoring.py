"""Scores one work item: read, decode, ask the model, write once. Knows nothing of Beam."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Final

import numpy as np

from imaging.batch import decode_batch
from imaging.errors import ImageError
from pipelines.archived_images import read_archive
from pipelines.engine import LiteRtEngine
from pipelines.rows import Compression, encode, prediction_columns
from pipelines.scored import Scored, summarise
from pipelines.statistics import ItemStatistics, join
from pipelines.storage import ImageReader, OutputFolder
from pipelines.storage.outage import refuse_outage
from pipelines.work_item import MOST, ListedImage, WorkItem
from schemas.failure import Failure
from schemas.manifest import Part

PREDICTIONS: Final = "predictions"
"""Folder of the prediction files within the output."""

STATISTICS: Final = "statistics"
"""Folder of the work items' statistics records within the output."""

_CHUNK_IMAGES: Final = 512
"""Images that are decoded before the model is asked: enough for full batches, little memory."""

_CHUNK_BYTES: Final = 64 * 2**20
"""Their files' bytes, unless a single one is larger."""

Content = tuple[ListedImage, bytes | ImageError]


def statistics_name(digest: str) -> str:
    """Returns where in the output a work item's statistics record stands."""
    return f"{STATISTICS}/part-{digest}.json"


class Scorer:
    """Scores the work items of one worker process; threads may share it."""

    def __init__(
        self,
        engine: LiteRtEngine,
        reader: ImageReader,
        *,
        output: OutputFolder,
        accept_threshold: float,
        folder_labels: bool = False,
        rows: int = MOST,
        compression: Compression = Compression.RECORDS,
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._output = output
        self._accept_threshold = np.float32(accept_threshold)
        self._folder_labels = folder_labels
        self._rows = rows
        self._compression = compression

    def run(self, item: WorkItem) -> ItemStatistics:
        """Scores a work item and writes its files, unless that is done already.

        The order makes a crash harmless: the statistics record is written last, and an item without
        one is scored again. An image may have vanished since an earlier try, or between two workers
        that have the same item: the names of prediction files follow from their content, so that each
        try leaves its own or none, and the first record says which of them count.
        """
        record = statistics_name(item.digest)
        if not self._output.exists(record):
            statistics = join(item.digest, self._pieces(item))
            self._output.write_once(record, statistics.to_json().encode())
        # Of two workers on one item the first one's record counts for both.
        return ItemStatistics.from_json(self._output.read(record).decode())

    def score(self, contents: Iterator[Content]) -> Scored:
        """Decodes and scores contents; every image ends up scored or failed."""
        images: list[ListedImage] = []
        errors: list[ImageError | None] = []
        digits, probabilities = [], []
        for chunk in _chunks(contents):
            batch = decode_batch((content for _, content in chunk), len(chunk))
            valid = batch.digits[[error is None for error in batch.errors]]
            images += [image for image, _ in chunk]
            errors += batch.errors
            digits.append(valid)
            probabilities.append(self._engine.probabilities(valid))
        return self._decide(images, errors, digits=digits, probabilities=probabilities)

    def _pieces(self, item: WorkItem) -> Iterator[ItemStatistics]:
        contents = self._contents(item)
        for number in itertools.count():
            scored = self.score(itertools.islice(contents, self._rows))
            if number and not scored.images and not scored.failures:
                return
            refuse_outage(scored.failures, listed=len(scored.images) + len(scored.failures))
            yield self._write(f"{item.digest}-{number}" if number else item.digest, scored)

    def _contents(self, item: WorkItem) -> Iterator[Content]:
        if item.may_be_archive:
            yield from read_archive(item.images[0], self._reader, folder_labels=self._folder_labels)
        else:
            yield from zip(item.images, self._reader.read(item.images), strict=True)

    def _write(self, piece: str, scored: Scored) -> ItemStatistics:
        columns = prediction_columns(scored)
        files = encode(columns, self._compression) if scored.images else {}
        content = hashlib.sha256(b"".join(files.values())).hexdigest()[:8]
        parts = []
        for suffix, data in files.items():
            name = f"{PREDICTIONS}/part-{piece}-{content}.{suffix}"
            self._output.write_once(name, data)
            parts.append(Part.of(name, data, rows=len(scored.images)))
        return summarise(piece, scored, tuple(parts))

    def _decide(
        self,
        images: list[ListedImage],
        errors: list[ImageError | None],
        *,
        digits: list[np.ndarray],
        probabilities: list[np.ndarray],
    ) -> Scored:
        nothing = np.zeros((0, 28, 28), np.uint8)
        first, second, confidence, second_confidence = _top_two(
            np.concatenate([self._engine.probabilities(nothing), *probabilities])
        )
        outcomes = list(zip(images, errors, strict=True))
        return Scored(
            images=tuple(image for image, error in outcomes if error is None),
            digits=np.concatenate([nothing, *digits]),
            first=first,
            second=second,
            confidence=confidence,
            second_confidence=second_confidence,
            accepted=confidence >= self._accept_threshold,
            failures=tuple(
                Failure(image.uri, image.generation, error.code, error.detail)
                for image, error in outcomes
                if error is not None
            ),
        )


def _chunks(contents: Iterator[Content]) -> Iterator[list[Content]]:
    """Yields contents in lists that are bounded in number and in bytes."""
    chunk: list[Content] = []
    held = 0
    for image, content in contents:
        chunk.append((image, content))
        held += len(content) if isinstance(content, bytes) else 0
        if len(chunk) == _CHUNK_IMAGES or held >= _CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


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
