"""The pictures of rows for review, read again from where they were scored from."""

import base64
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import cv2
import numpy as np

from digitmill.imaging.batch import decode_batch
from digitmill.imaging.decode import decode
from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from pipelines.review.review_rows import Doubt
from pipelines.scoring.archived_images import read_archive
from pipelines.scoring.classify import chunks
from schemas.digit import SIDE
from schemas.failure import FailureCode, ImageError

ALIKE: Final = 0.9
"""From this correlation on a picture, shrunk to a digit's size, shows nothing that the digit does not."""

_THUMBNAIL: Final = 112
"""Longer side of the original as it is shown, pixels."""

_QUALITY: Final = 70

Content = bytes | ImageError


@dataclasses.dataclass(frozen=True)
class Picture:
    """What is shown of a row.

    Attributes:
        digit: uint8[28, 28], the canonical digit, as the model saw it.
        sha256: of the image's bytes, hexadecimal.
        original: a small WebP of the image itself where it looks otherwise than the digit; else empty.
    """

    digit: np.ndarray
    sha256: str
    original: bytes


def read_pictures(doubts: Sequence[Doubt], reader: ImageReader) -> Iterator[tuple[int, Picture | ImageError]]:
    """Yields each row's place in the sequence and its picture, or why there is none, in any order.

    Objects are pinned to the version that was scored. Little is in memory at once.

    Args:
        doubts: the rows.
        reader: reads where the run has read.
    """
    contents = itertools.chain(_single(doubts, reader), _archived(doubts, reader))
    for chunk in chunks(contents):
        batch = decode_batch((content for _, content in chunk), len(chunk))
        answers = zip(chunk, batch.digits, batch.errors, strict=True)
        for (place, content), digit, error in answers:
            yield place, error or _picture(content, digit)


def _single(doubts: Sequence[Doubt], reader: ImageReader) -> Iterator[tuple[int, Content]]:
    places = [place for place, doubt in enumerate(doubts) if doubt.uri == doubt.file.uri]
    yield from zip(places, reader.read(doubts[place].file for place in places), strict=True)


def _archived(doubts: Sequence[Doubt], reader: ImageReader) -> Iterator[tuple[int, Content]]:
    wanted: dict[ListedImage, dict[str, int]] = {}
    for place, doubt in enumerate(doubts):
        if doubt.uri != doubt.file.uri:
            wanted.setdefault(doubt.file, {})[doubt.uri] = place
    for archive, places in wanted.items():
        yield from _members(archive, places, reader)


def _members(
    archive: ListedImage, places: dict[str, int], reader: ImageReader
) -> Iterator[tuple[int, Content]]:
    """Yields the wanted members of an archive, which is read no further than the last of them."""
    missing = dict(places)
    why = ImageError(FailureCode.MISSING, "the archive does not hold it any more")
    members = read_archive(archive, reader, folder_labels=False)
    for member, content in members:
        if member.uri in missing:
            yield missing.pop(member.uri), content
        elif member.uri == archive.uri and isinstance(content, ImageError):
            why = content
        if not missing:
            return
    yield from ((place, why) for place in missing.values())


def _picture(content: Content, digit: np.ndarray) -> Picture:
    assert isinstance(content, bytes)  # it was decoded
    return Picture(digit, hashlib.sha256(content).hexdigest(), _original(content, digit))


def _original(content: bytes, digit: np.ndarray) -> bytes:
    try:
        pixels = _as_shown(decode(content))
    except ImageError:
        return b""  # memory or time ran out, which they did not a moment ago; the digit is what counts
    if _resembles(pixels, digit):
        return b""
    scale = _THUMBNAIL / max(pixels.shape[:2])
    if scale < 1:
        size = [max(1, round(length * scale)) for length in pixels.shape[1::-1]]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1].tobytes()


def _as_shown(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8[height, width, 3] of decoded pixels, what is transparent on white."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] == 3:
        return pixels
    opacity = pixels[..., 3:].astype(np.float32) / 255
    return np.round(pixels[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)


def _resembles(pixels: np.ndarray, digit: np.ndarray) -> bool:
    """Whether a picture is the digit but for its size and which of ink and paper is the brighter."""
    small = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if not small.std():
        return False
    correlation = np.corrcoef(small.ravel(), digit.ravel())[0, 1]
    return bool(abs(correlation) >= ALIKE)


def base64_of(data: bytes) -> str:
    """Returns bytes as text."""
    return base64.b64encode(data).decode()


def png_of(pixels: np.ndarray) -> bytes:
    """Returns pixels as a PNG file."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def sprite_of(digits: Iterable[np.ndarray], *, columns: int) -> bytes:
    """Returns digits side by side, row below row, as one PNG: a browser decodes one picture for thousands.

    Args:
        digits: at least one, uint8[28, 28].
        columns: digits in a row.
    """
    tiles = list(digits)
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * SIDE, min(columns, len(tiles)) * SIDE), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = (SIDE * place for place in divmod(number, columns))
        sheet[top : top + SIDE, left : left + SIDE] = tile
    return png_of(sheet)
