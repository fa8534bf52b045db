"""Rereads the images of rows for review from their original location."""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from digitmill.imaging.batch import decode_batch
from digitmill.imaging.page_reading import Content
from digitmill.reports.gallery import inline_png
from digitmill.reports.thumbnail import thumbnail
from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import split_page
from pipelines.review.review_rows import ReviewRow
from pipelines.scoring.classify import split_chunks
from pipelines.scoring.page_members import PagedContents
from pipelines.scoring.scorer import read_archive
from schemas.digit import SIDE
from schemas.failure import FailureCode, ImageError


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pictures of a row.

    Attributes:
        digit: uint8[28, 28], the canonical digit that the model saw.
        original: WebP thumbnail of the image if it differs visibly from the digit, otherwise empty.
    """

    digit: np.ndarray
    sha256: str
    original: bytes


def read_pictures(
    rows: Sequence[ReviewRow], reader: ImageReader
) -> Iterator[tuple[int, Picture | ImageError]]:
    """Yield each row's index with its picture or the error, in any order and in bounded memory."""
    contents = itertools.chain(_single(rows, reader), _archived(rows, reader))
    for chunk in split_chunks(contents):
        batch = decode_batch((content for _, content in chunk), len(chunk))
        answers = zip(chunk, batch.digits, batch.errors, strict=True)
        for (place, content), digit, error in answers:
            yield place, error or _picture(content, digit)


def _single(rows: Sequence[ReviewRow], reader: ImageReader) -> Iterator[tuple[int, Content]]:
    places = [place for place, row in enumerate(rows) if row.uri == row.file.uri]
    yield from zip(places, reader.read(rows[place].file for place in places), strict=True)


def _archived(rows: Sequence[ReviewRow], reader: ImageReader) -> Iterator[tuple[int, Content]]:
    requested: dict[ListedImage, dict[str, int]] = {}
    for place, row in enumerate(rows):
        if row.uri != row.file.uri:
            requested.setdefault(row.file, {})[row.uri] = place
    for archive, places in requested.items():
        yield from _members(archive, places, reader)


def _members(
    archive: ListedImage, places: dict[str, int], reader: ImageReader
) -> Iterator[tuple[int, Content]]:
    """Yield the requested members of an archive; stop reading after the last of them."""
    missing = dict(places)
    why = ImageError(FailureCode.MISSING, "the archive no longer holds it")
    files = {split_page(uri)[0] for uri in places}
    for file, whole in read_archive(archive, reader, folder_labels=False):
        # Split into pages only the files whose pages are requested.
        named = file.uri in missing or file.uri not in files
        for member, content in [(file, whole)] if named else PagedContents([(file, whole)]):
            if member.uri in missing:
                yield missing.pop(member.uri), content
            elif member.uri == archive.uri and isinstance(content, ImageError):
                why = content
        if not missing:
            return
    yield from ((place, why) for place in missing.values())


def _picture(content: Content, digit: np.ndarray) -> Picture:
    assert not isinstance(content, ImageError)  # it was decoded
    data = content if isinstance(content, bytes) else content.data
    return Picture(digit, hashlib.sha256(data).hexdigest(), thumbnail(content, digit))


def make_sprite(digits: Iterable[np.ndarray], *, columns: int) -> str:
    """Return a grid of digits uint8[28, 28] as one base64 PNG: faster to decode than thousands of images."""
    tiles = list(digits)
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * SIDE, min(columns, len(tiles)) * SIDE), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = (SIDE * place for place in divmod(number, columns))
        sheet[top : top + SIDE, left : left + SIDE] = tile
    return inline_png(sheet)
