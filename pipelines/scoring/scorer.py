"""Scores one work item: reads, decodes, predicts and writes its files. Does not depend on Beam."""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator

from digitmill.storage import ImageReader, OutputFolder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.outage import refuse_outage
from pipelines.archives import HEAD_BYTES, Member, archive_kind, read_members
from pipelines.listing.relative_names import RelativeNames
from pipelines.listing.true_labels import label_from_member_folder
from pipelines.listing.work_item import MAX_ITEM_SIZE, WorkItem
from pipelines.scoring.classify import Classifier
from pipelines.scoring.page_members import OwnedContent, PagedContents
from pipelines.scoring.rows import write_parts
from pipelines.statistics.audit_sample import AuditDraw
from pipelines.statistics.failure_rows import MOST_IN_MEMORY, failure_file
from pipelines.statistics.item_statistics import FileCount, ItemStatistics, count_several, merge_pieces
from pipelines.statistics.totals import add_up
from schemas.failure import ImageError
from schemas.layout import DEFAULT_FORMATS, Compression, Format, statistics_name
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
    formats: tuple[Format, ...] = DEFAULT_FORMATS
    extra: tuple[str, ...] = ()
    names: RelativeNames = RelativeNames()  # noqa: RUF009 - frozen
    audit: AuditDraw | None = None

    def run(self, item: WorkItem, order: str = "") -> ItemStatistics:
        """Score a work item and write its files, unless it is done already; file names start with `order`.

        Crashes are harmless: the statistics record is written last, and an item without a record is scored
        again. Two attempts may differ, because an image may disappear in between. Prediction files are
        therefore named by their content, and the first record determines which files count.
        """
        record = statistics_name(item.digest)
        if not self.output.exists(record):
            ignored: collections.Counter[str] = collections.Counter()
            several: list[FileCount] = []
            contents = PagedContents(self._contents(item, ignored), self.pages)
            pieces = self._pieces(item, contents, several, order)
            statistics = merge_pieces(item.digest, self._few_failures(pieces))
            statistics = dataclasses.replace(
                statistics,
                further_pages=contents.further,
                ignored=ignored.total(),
                several=add_up(several, keys=1),
            )
            self.output.write_once(record, statistics.to_json().encode())
        # If two workers scored the item, the first record counts.
        return ItemStatistics.from_json(self.output.read(record).decode())

    def _pieces(
        self, item: WorkItem, paged: PagedContents, several: list[FileCount], order: str
    ) -> Iterator[ItemStatistics]:
        contents = iter(paged)
        files = {image.uri for image in item.images}
        for number in itertools.count():
            scored = self.classifier.classify(itertools.islice(contents, self.rows))
            if number and not scored.images and not scored.failures:
                return
            refuse_outage(scored.failures, listed=len(scored.images) + len(scored.failures))
            piece = f"{item.digest}-{number}" if number else item.digest
            if not item.may_be_archive:
                outcomes = [image.uri for image in scored.images], [row.image for row in scored.failures]
                several += count_several(files, *outcomes)
            yield write_parts(
                self.output,
                piece,
                scored,
                order=f"{order}_{number:05d}" if order and number else order,
                compression=self.compression,
                formats=self.formats,
                extra=self.extra,
                names=self.names,
                audit=self.audit,
            )

    def _few_failures(self, pieces: Iterable[ItemStatistics]) -> Iterator[ItemStatistics]:
        """Yield the pieces; failures beyond what a record may hold are moved to separate files."""
        count = 0
        for piece in pieces:
            count += len(piece.failures)
            if count > MOST_IN_MEMORY:
                part, data = failure_file(piece.digest, [*piece.failures])
                self.output.write_once(part.name, data)
                piece = dataclasses.replace(piece, failures=(), parts=(*piece.parts, part))  # noqa: PLW2901
            yield piece

    def _contents(self, item: WorkItem, ignored: collections.Counter[str]) -> Iterator[OwnedContent]:
        if item.may_be_archive:
            archive = item.images[0]
            yield from read_archive(archive, self.reader, folder_labels=self.folder_labels, ignored=ignored)
        else:
            yield from zip(item.images, self.reader.read(item.images), strict=True)


def read_archive(
    archive: ListedImage,
    reader: ImageReader,
    *,
    folder_labels: bool,
    ignored: collections.Counter[str] | None = None,
) -> Iterator[tuple[ListedImage, bytes | ImageError]]:
    """Yield an archive's images, one in memory at a time; yield the archive itself if it cannot be read.

    A file that is not an archive despite its name counts as an image.

    An object in a bucket is downloaded to a temporary file with one request. With `folder_labels`, members
    without a label in the archive get their folder as the label. `ignored` counts junk members by archive.
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
        for member in read_members(file, kind, name=archive.uri, ignored=ignored):
            yield _image(member, archive, folder_labels=folder_labels), member.content


def _image(member: Member, archive: ListedImage, *, folder_labels: bool) -> ListedImage:
    size = len(member.content) if isinstance(member.content, bytes) else -1
    image = ListedImage(member.name, archive.generation, size, label=member.label, carried=archive.carried)
    return label_from_member_folder(image) if folder_labels and member.label == NO_LABEL else image
