"""What a run is asked to score: listed once, before anything is read."""

import csv
import dataclasses
import hashlib
import heapq
import io
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Self

from digitmill.storage import ImageReader, list_place
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import path_of, place_from_anywhere, uri_in
from digitmill.storage.object_stores import gs
from digitmill.storage.object_stores.objects import split
from digitmill.storage.patterns import compile_pattern, has_magic, literal_prefix
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.key_ranges import KeyRange, after, split_range
from schemas.errors import UserError

SERIAL_LIMIT: Final = 100_000
"""Names that are listed one page after the other; beyond it, workers list the rest side by side."""

_WRITTEN: Final = (
    "run.json",
    "run.yaml",
    "report.html",
    "listing/launcher-00000.json.gz",
    "predictions/part-0.csv",
    "predictions/part-0.tfrecord.gz",
)
"""Files such as a run writes."""


@dataclasses.dataclass(frozen=True)
class RemoteRange:
    """Names of a bucket that a worker is to list.

    Attributes:
        bucket: the `gs://` bucket.
        keys: the names' bounds.
        pattern: which of them count; empty for all.
    """

    bucket: str
    keys: KeyRange
    pattern: str


class Listing:
    """The images of a run, listed while they are asked for: each URI once, in order, and only once through.

    Args:
        images: lists them.
        limit: number of images to stop after; None for all.

    Attributes:
        ranges: names that are left for workers to list; known after the last image.
    """

    def __init__(self, images: Iterable[ListedImage], *, limit: int | None = None) -> None:
        self._images: Iterator[ListedImage] = itertools.islice(images, limit)
        self.ranges: tuple[RemoteRange, ...] = ()

    def __iter__(self) -> Iterator[ListedImage]:
        return self._images

    def map(self, change: Callable[[Iterator[ListedImage]], Iterator[ListedImage]]) -> Self:
        """Passes the images through a generator and returns the same listing."""
        self._images = change(self._images)
        return self

    def begin(self) -> None:
        """Lists the first image, so that what cannot be listed at all is known at once.

        Raises:
            UserError: when an input does not exist, holds or matches nothing, or cannot be listed.
        """
        self._images = itertools.chain(list(itertools.islice(self._images, 1)), self._images)


def list_images(inputs: Sequence[str], named: Iterable[ListedImage] = ()) -> Iterator[ListedImage]:
    """Yields every file of the inputs once, in the order of their names.

    All files count, whatever their names: what is no image becomes a failure row, so that nothing
    is lost unnoticed.

    Args:
        inputs: folders, files or patterns (`*`, `?`, `[…]`, `**`), local or in a bucket. What exists
            under its exact name is not taken for a pattern.
        named: further images, in order.

    Raises:
        UserError: when an input does not exist, holds or matches nothing, or cannot be listed.
    """
    before = None
    for image in heapq.merge(named, *map(_list_input, inputs), key=_place_in_order):
        if before is None or image.uri != before.uri:
            yield image
        before = image


def begin_listing(given: str, *, limit: int = SERIAL_LIMIT) -> Listing:
    """Lists one input; of a large `gs://` folder what is beyond `limit` is left to the workers, in ranges.

    Raises:
        UserError: as `list_images`, while it is iterated.
    """

    def images() -> Iterator[ListedImage]:
        for number, image in enumerate(_list_input(given), start=1):
            yield image
            if number == limit and given.startswith(gs.SCHEME):
                listing.ranges = _ranges_after(image, given)
                return

    listing = Listing(images())
    return listing


def sample_of(images: Iterable[ListedImage], count: int) -> list[ListedImage]:
    """Returns a random sample that is stable by name: an image that was in it stays as long as it can.

    Images are ranked by a hash of their names, and the first are taken; others that come or go move
    only as many as they must. No more than `count` are held.
    """

    def rank(image: ListedImage) -> bytes:
        return hashlib.blake2b(image.uri.encode(), digest_size=16).digest()

    return sorted(heapq.nsmallest(count, images, key=rank), key=_place_in_order)


def _list_input(given: str) -> Iterator[ListedImage]:
    empty = True
    for image in list_place(given):
        empty = False
        yield image
    if empty:
        raise UserError("an input holds at least one file", got=given, remedy="check the path or the pattern")


def _place_in_order(image: ListedImage) -> bytes:
    # Folders are walked in the order of their paths, which percent signs would change.
    return path_of(image.uri) if image.uri.startswith("file:") else image.uri.encode()


def refuse_output_below(inputs: Sequence[str], output: str) -> None:
    """Raises UserError when an output lies in an input: the next run would score it.

    Args:
        inputs: as given.
        output: place of the output folder.
    """
    for given in inputs:
        here, there = (
            place.rstrip("/") if "://" in place else os.path.realpath(place) for place in (given, output)
        )
        if there == here or there.startswith(here.rstrip("/") + "/") or _matches_in(output, given):
            raise UserError(
                "an output lies outside of every input", got=output, remedy="name a folder beside it"
            )


def _matches_in(output: str, given: str) -> bool:
    """Whether a pattern matches what a run writes."""
    if not has_magic(given):
        return False
    pattern = compile_pattern(place_from_anywhere(given))
    return any(pattern.fullmatch(f"{place_from_anywhere(output)}/{name}") for name in _WRITTEN)


def _as_folder(name: str) -> str:
    return name if not name or name.endswith("/") else f"{name}/"


def _ranges_after(last: ListedImage, given: str) -> tuple[RemoteRange, ...]:
    _, bucket, name = split(given)
    pattern = name if has_magic(name) else ""
    prefix = literal_prefix(pattern) if pattern else _as_folder(name)

    from digitmill.storage.object_stores import google

    def first_name(start: str, end: str) -> str | None:
        for image in google.list_objects(bucket, start=start, end=end, most=1):
            return split(image.uri)[2]
        return None

    # The least name that follows: nothing lies between a name and itself with a NUL behind it.
    rest = KeyRange(split(last.uri)[2] + "\0", after(prefix) if prefix else "")
    return tuple(RemoteRange(bucket, keys, pattern) for keys in split_range(rest, first_name, prefix=prefix))


def read_input_list(path: pathlib.Path, limits: ReadLimits | None = None) -> list[ListedImage]:
    """Returns the images that a file names, each once, in the order of their names.

    Args:
        path: a text file with a name a line, or a CSV file with a column `path` or `image`. Names are
            URIs, absolute paths, or paths relative to the file's own folder.
        limits: how hard to lean on an object store while objects are looked up.

    Raises:
        UserError: when the file cannot be read or names nothing.
    """
    try:
        # Names that are no UTF-8 come back as the bytes that they were.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            text = file.read()
        if "\0" in text:
            raise UserError("an input list is UTF-8 text", got=str(path), remedy="save it as UTF-8")
        names = list(_names(text))
    except (OSError, csv.Error) as error:
        raise UserError(
            "an input list is a file that can be read", got=str(path), remedy=str(error)
        ) from error
    if not names:
        raise UserError(
            "an input list names at least one image", got=str(path), remedy="write a path or URI a line"
        )
    uris = sorted({uri_in(name, path) for name in names})
    with ImageReader(limits) as reader:
        return sorted(reader.find(uris), key=_place_in_order)


def _names(text: str) -> Iterator[str]:
    header = [cell.strip().lower() for cell in next(csv.reader(io.StringIO(text, newline="")), [])]
    column = next((header.index(name) for name in ("path", "image") if name in header), None)
    if column is not None:
        rows = csv.reader(io.StringIO(text, newline=""))
        next(rows)
        yield from (row[column] for row in rows if len(row) > column and row[column])
        return
    lines = text.split("\n")
    # A carriage return may end a name, but not every name: that is how Windows ends lines.
    if all(line.endswith("\r") for line in lines if line):
        lines = [line.removesuffix("\r") for line in lines]
    yield from filter(None, lines)
