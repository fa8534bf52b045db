"""Scores one work item: read, decode, ask the model, write once. Knows nothing of Beam."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Final

from pipelines.archived_images import read_archive
from pipelines.classify import Classifier, Content
from pipelines.rows import encode_csv, encode_tfrecord_gz, prediction_columns
from pipelines.scored import Scored, summarise
from pipelines.statistics import ItemStatistics, join
from pipelines.storage import ImageReader, OutputFolder
from pipelines.work_item import SIZE, WorkItem
from schemas.manifest import Part

PREDICTIONS: Final = "predictions"
"""Folder of the prediction files within the output."""

STATISTICS: Final = "statistics"
"""Folder of the work items' statistics records within the output."""


def statistics_name(digest: str) -> str:
    """Returns where in the output a work item's statistics record stands."""
    return f"{STATISTICS}/part-{digest}.json"


class Scorer:
    """Scores the work items of one worker process; threads may share it."""

    def __init__(
        self,
        classifier: Classifier,
        reader: ImageReader,
        *,
        output: OutputFolder,
        folder_labels: bool = False,
    ) -> None:
        self._classifier = classifier
        self._reader = reader
        self._output = output
        self._folder_labels = folder_labels

    def run(self, item: WorkItem) -> ItemStatistics:
        """Scores a work item and writes its files, unless they are there already.

        The order makes a crash harmless: the statistics record is written last, and an item without
        one is scored again, over what an earlier try may have left under the same names.
        """
        record = statistics_name(item.digest)
        if self._output.exists(record):
            return ItemStatistics.from_json(self._output.read(record).decode())
        statistics = join(item.digest, self._pieces(item))
        self._output.write_once(record, statistics.to_json().encode())
        # Of two workers on one item the first one's record counts for both.
        return ItemStatistics.from_json(self._output.read(record).decode())

    def _pieces(self, item: WorkItem) -> Iterator[ItemStatistics]:
        contents = self._contents(item)
        for number in itertools.count():
            scored = self._classifier.classify(itertools.islice(contents, SIZE))
            if number and not scored.images and not scored.failures:
                return
            yield self._write(f"{item.digest}-{number}" if number else item.digest, scored)

    def _contents(self, item: WorkItem) -> Iterator[Content]:
        if item.may_be_archive:
            yield from read_archive(item.images[0], self._reader, folder_labels=self._folder_labels)
        else:
            yield from zip(item.images, self._reader.read(item.images), strict=True)

    def _write(self, name: str, scored: Scored) -> ItemStatistics:
        columns = prediction_columns(scored)
        files = {
            f"{PREDICTIONS}/part-{name}.tfrecord.gz": encode_tfrecord_gz(columns),
            f"{PREDICTIONS}/part-{name}.csv": encode_csv(columns),
        }
        for file, data in files.items():
            # Not once: an image may have vanished since an earlier try, and the record, which is still
            # to come, describes the rows of this one.
            self._output.replace(file, data)
        parts = tuple(
            Part(file, rows=len(scored.images), bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for file, data in files.items()
        )
        return summarise(name, scored, parts)
