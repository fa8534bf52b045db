"""Scores one work item: read, decode, ask the model, write once. Knows nothing of Beam."""

import itertools
from collections.abc import Iterator

from digitmill.storage import ImageReader, OutputFolder
from digitmill.storage.outage import refuse_outage
from pipelines.listing.work_item import MOST, WorkItem
from pipelines.scoring.archived_images import read_archive
from pipelines.scoring.classify import Classifier, Content
from pipelines.scoring.parts import write_parts
from pipelines.scoring.rows import Compression
from pipelines.statistics.item_statistics import ItemStatistics, join
from schemas.layout import statistics_name


class Scorer:
    """Scores the work items of one worker process; threads may share it."""

    def __init__(
        self,
        classifier: Classifier,
        reader: ImageReader,
        *,
        output: OutputFolder,
        folder_labels: bool = False,
        rows: int = MOST,
        compression: Compression = Compression.RECORDS,
    ) -> None:
        self._classifier = classifier
        self._reader = reader
        self._output = output
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

    def _pieces(self, item: WorkItem) -> Iterator[ItemStatistics]:
        contents = self._contents(item)
        for number in itertools.count():
            scored = self._classifier.classify(itertools.islice(contents, self._rows))
            if number and not scored.images and not scored.failures:
                return
            refuse_outage(scored.failures, listed=len(scored.images) + len(scored.failures))
            piece = f"{item.digest}-{number}" if number else item.digest
            yield write_parts(self._output, piece, scored, compression=self._compression)

    def _contents(self, item: WorkItem) -> Iterator[Content]:
        if item.may_be_archive:
            yield from read_archive(item.images[0], self._reader, folder_labels=self._folder_labels)
        else:
            yield from zip(item.images, self._reader.read(item.images), strict=True)
