"""Scores one work item: reads, decodes, predicts, and writes once. Does not depend on Beam."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

from digitmill.storage import ImageReader, OutputFolder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.outage import refuse_outage
from pipelines.archives import HEAD_BYTES, Member, archive_kind, read_members
from pipelines.listing.true_labels import label_from_member_folder
from pipelines.listing.work_item import MAX_ITEM_SIZE, WorkItem
from pipelines.scoring.classify import Classifier
from pipelines.scoring.page_members import OwnedContent, PagedContents
from pipelines.scoring.rows import write_parts
from pipelines.statistics.failure_rows import MOST_IN_MEMORY, failure_file
from pipelines.statistics.item_statistics import ItemStatistics, merge_pieces
from schemas.failure import ImageError
from schemas.layout import Compression, statistics_name
from schemas.prediction import NO_LABEL, Pages


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Scores the work items of one worker process. Thread-safe."""

    classifier: Classifier
    reader: ImageReader
    output: OutputFolder
    folder_labels: bool = False
    pages: Pages = Pages.ALL
    rows: int = MAX_ITEM_SIZE
    compression: Compression = Compression.RECORDS

    def run(self, item: WorkItem) -> ItemStatistics:
        """Scores a work item and writes its files, unless it is done already.

        Crashes are harmless: the statistics record is written last, and an item without one is scored again.
        An image may disappear between two attempts, so prediction files are named by their content: each
        attempt writes its own, and the first record determines which of them count.
        """
        record = statistics_name(item.digest)
        if not self.output.exists(record):
            contents = PagedContents(self._contents(item), self.pages)
            statistics = merge_pieces(item.digest, self._few_failures(self._pieces(item, contents)))
            statistics = dataclasses.replace(statistics, further_pages=contents.further)
            self.output.write_once(record, statistics.to_json().encode())
        # If two workers scored the item, the first one's record counts.
        return ItemStatistics.from_json(self.output.read(record).decode())

    def _pieces(self, item: WorkItem, paged: PagedContents) -> Iterator[ItemStatistics]:
        contents = iter(paged)
        for number in itertools.count():
            scored = self.classifier.classify(itertools.islice(contents, self.rows))
            if number and not scored.images and not scored.failures:
                return
            refuse_outage(scored.failures, listed=len(scored.images) + len(scored.failures))
            piece = f"{item.digest}-{number}" if number else item.digest
            yield write_parts(self.output, piece, scored, compression=self.compression)

    def _few_failures(self, pieces: Iterable[ItemStatistics]) -> Iterator[ItemStatistics]:
        """Yields the pieces, with failures beyond those that a record holds in files of their own."""
        count = 0
        for piece in pieces:
            count += len(piece.failures)
            if count > MOST_IN_MEMORY:
                part, data = failure_file(piece.digest, [*piece.failures])
                self.output.write_once(part.name, data)
                piece = dataclasses.replace(piece, failures=(), parts=(*piece.parts, part))  # noqa: PLW2901
            yield piece

    def _contents(self, item: WorkItem) -> Iterator[OwnedContent]:
        if item.may_be_archive:
            yield from read_archive(item.images[0], self.reader, folder_labels=self.folder_labels)
        else:
            yield from zip(item.images, self.reader.read(item.images), strict=True)


def read_archive(
    archive: ListedImage, reader: ImageReader, *, folder_labels: bool
) -> Iterator[tuple[ListedImage, bytes | ImageError]]:
    """Yields an archive's images, one in memory at a time; the archive itself if it cannot be read.

    A file with an archive's name that is not one counts as an image.

    An object is downloaded to a temporary file by one request. With `folder_labels`, a member's folder is its
    label if the archive holds none for it.
    """
    try:
        file = reader.fetch(archive)
    except ImageError as error:
        yield archive, error
        return
    with file:
        kind = archive_kind(archive.uri, file.read(HEAD_BYTES))
        file.seek(0)
        if kind is None:
            yield from zip([archive], reader.read([archive]), strict=True)
            return
        for member in read_members(file, kind, name=archive.uri):
            yield _image(member, archive, folder_labels=folder_labels), member.content


def _image(member: Member, archive: ListedImage, *, folder_labels: bool) -> ListedImage:
    size = len(member.content) if isinstance(member.content, bytes) else -1
    image = ListedImage(member.name, archive.generation, size, label=member.label)
    return label_from_member_folder(image) if folder_labels and member.label == NO_LABEL else image
