"""The frozen listing: work items stored in the output, so that Beam passes file names instead of images.

Beam compresses the elements of a `Create` several times: 60,000 names took it 0.6 s.

A repeated listing finds the same names as the first one. A key range is listed into work items one after the
other, each written once, under the range's digest and a number. A worker that repeats a range reads the files
that exist and continues after the last name in them, so objects that appear or disappear in between do not
change what was listed.
"""

import dataclasses
import functools
import gzip
import hashlib
import itertools
import json
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Final, NamedTuple, Protocol, Self

from digitmill.storage import OutputFolder, Survey
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.uris import is_folder_marker, split
from digitmill.storage.patterns import compile_pattern
from pipelines.listing.input_listing import Listing, RemoteRange
from pipelines.listing.true_labels import label_from_folder
from pipelines.listing.work_item import ITEM_SIZE, MAX_ITEM_SIZE, WorkItem, pack_items, separate_archives
from schemas.errors import StorageError, UserError
from schemas.layout import LISTING, LISTING_INDEX, launcher_listing, range_listing
from schemas.versioned import check_types, decode, fields_of, parse_json

ItemRef = tuple[str, int]
"""Reference to a work item: its listing file, and its number in it once archives are separated."""

_END: Final = b"[]\n"
"""Content of the file that ends a sequence of listing files."""


class Readable(Protocol):
    """What reading a listing needs of an output folder."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raise FileNotFoundError when it does not exist."""

    def at(self, name: str) -> str:
        """Return the place of a file, as users write it."""


class FrozenItem(NamedTuple):
    """A work item's entry in the index.

    Attributes:
        number: its number in the file, once archives are separated.
        may_be_archive: whether it is a single file that may hold many images.
    """

    file: str
    number: int
    digest: str
    images: int
    may_be_archive: bool

    @property
    def ref(self) -> ItemRef:
        """The reference that travels through Beam."""
        return self.file, self.number


@dataclasses.dataclass(frozen=True)
class ListingIndex:
    """Index of the frozen listing, written by the launcher.

    Attributes:
        ranges: key ranges that workers list.
        buckets: number of buckets in which the names are joined with earlier runs; 0 for no join.
        ignored: files that the launcher left out, see `digitmill.storage.Survey`.
        vanished: folders that vanished while the launcher listed them.
    """

    items: tuple[FrozenItem, ...]
    ranges: tuple[RemoteRange, ...] = ()
    buckets: int = 0
    ignored: int = 0
    vanished: int = 0

    def to_json(self) -> str:
        """Return the index as the text of its file."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raise ValueError when the text is no such index."""
        with fields_of("an index of a listing"):
            fields = parse_json(text)
            rows, ranges = fields.pop("items"), fields.pop("ranges")
            check_types(rows, tuple(FrozenItem.__annotations__.values()))
            check_types([[*fields.values()]], (int,) * len(fields))
            keys = (decode(RemoteRange, each, what="a key range") for each in ranges)
            return cls(tuple(itertools.starmap(FrozenItem, rows)), tuple(keys), **fields)


def list_range(
    keys: RemoteRange, output: OutputFolder, *, run: str, folder_labels: bool, size: int = ITEM_SIZE
) -> Iterator[tuple[str, WorkItem]]:
    """List a key range into work items, and yield each with its listing file; the same every time."""
    matching, start = None, keys.keys.start
    survey = Survey(keys.selection)
    for name in map(_range_names(keys), itertools.count()):
        listed = None
        if not output.exists(name):
            # A file counts what lies between the last name of the one before it and its own.
            survey.ignored = 0
            matching = matching or _matching(keys, start, survey, folder_labels=folder_labels)
            listed = next(pack_items(list(itertools.islice(matching, size)), run), None)
            write_item(output, name, listed, ignored=survey.ignored)
        # Read back: if two workers wrote it at once, the first one's item counts.
        item = read_item(output, name)
        if item is None:
            return
        yield name, item
        start = split(item.images[-1].uri)[2] + "\0"
        matching = matching if item == listed else None


def _matching(keys: RemoteRange, start: str, survey: Survey, *, folder_labels: bool) -> Iterator[ListedImage]:
    from digitmill.storage.object_stores import google

    pattern = compile_pattern(keys.pattern) if keys.pattern else None
    for image in google.list_objects(keys.bucket, start=start, end=keys.keys.end):
        name = split(image.uri)[2]
        if is_folder_marker(image) or not (pattern is None or pattern.fullmatch(name)):
            continue
        if survey.keep(name.removeprefix(keys.folder)):
            yield label_from_folder(image) if folder_labels else image


def freeze_listing(
    listing: Listing,
    output: OutputFolder,
    *,
    run: str,
    most: int = MAX_ITEM_SIZE,
    buckets: Callable[[int], int] = lambda _: 0,
    confirm: Callable[[], None] = lambda: None,
) -> Generator[FrozenItem, None, None]:
    """Write the launcher's listing as work items, yield each when it is written, and last writes the index.

    Files of an earlier launcher that did not reach the index are removed. Items that it scored are found
    again by their content.

    No more than one item of images is held in memory. `buckets` gives the number of buckets of the join for a
    number of images, 0 for no join; `confirm` raises when another launcher has taken the output over.

    Raises:
        StorageError: when another launcher lists into the output.
    """
    for name in output.names(LISTING):
        confirm()
        output.delete(f"{LISTING}/{name}")
    items: list[FrozenItem] = []
    for number, item in enumerate(pack_items(listing, run, size=min(ITEM_SIZE, most), most=most)):
        name = launcher_listing(number)
        # Another launcher may have taken over, and listed, while this one was suspended.
        confirm()
        _write_own(output, name, _pack(item))
        for each in frozen_items(name, item):
            items.append(each)
            yield each
    joined, survey = buckets(sum(item.images for item in items)), listing.survey
    index = ListingIndex(tuple(items), listing.ranges, joined, survey.ignored, survey.vanished)
    confirm()
    _write_own(output, LISTING_INDEX, index.to_json().encode())


def _write_own(output: OutputFolder, name: str, data: bytes) -> None:
    """Write a file of the launcher's listing; raise StorageError when another launcher's is there."""
    output.write_once(name, data)
    # A lease counts for some seconds after its last renewal, so two launchers may write at once.
    try:
        there = output.read(name)
    except FileNotFoundError:
        there = None
    if there != data:
        raise StorageError(
            "another launcher lists into the same output",
            value=output.at(name),
            hint="wait until it is done",
        )


def read_index(output: OutputFolder) -> ListingIndex | None:
    """Return the index; None while the launcher is not done listing.

    Raises:
        UserError: when it is damaged.
    """
    try:
        return ListingIndex.from_json(output.read(LISTING_INDEX).decode())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise damaged_listing(output, LISTING_INDEX, error) from error


def frozen_items(name: str, item: WorkItem) -> Iterator[FrozenItem]:
    """Yield the index entries of a listing file's work items."""
    for number, each in enumerate(separate_archives([item])):
        yield FrozenItem(name, number, each.digest, len(each.images), each.may_be_archive)


def load_item(output: Readable, ref: ItemRef) -> WorkItem:
    """Read the work item that a reference points to; raise UserError when its listing file is damaged."""
    name, number = ref
    try:
        return read_items(output, name)[number]
    except (ValueError, IndexError, FileNotFoundError) as error:
        raise damaged_listing(output, name, error) from error


def damaged_listing(output: Readable, name: str, error: Exception) -> UserError:
    """Return the error of a run whose own listing cannot be read."""
    return UserError(
        "the frozen listing of the run is damaged",
        value=output.at(name),
        hint=f"score into a new output: {error}",
    )


def read_items(output: Readable, name: str) -> list[WorkItem]:
    """Return the work items of a listing file, archives separated; none where it ends a sequence."""
    item = read_item(output, name)
    return [] if item is None else list(separate_archives([item]))


def read_range_items(
    output: Readable, keys: RemoteRange, *, ignored: list[int] | None = None
) -> Iterator[FrozenItem]:
    """Yield the work items of a range that was listed to its end; add to `ignored` what it left out.

    Raises:
        FileNotFoundError: when it was not.
    """
    return read_sequence(output, _range_names(keys), ignored=ignored)


def read_sequence(
    output: Readable, name_of: Callable[[int], str], *, ignored: list[int] | None = None
) -> Iterator[FrozenItem]:
    """Yield the work items of a sequence of listing files, named by their numbers.

    Raises:
        FileNotFoundError: when the file that ends it is missing.
        UserError: when one is damaged.
    """
    for name in map(name_of, itertools.count()):
        try:
            item, left_out = _read_file(output, name)
        except ValueError as error:
            raise damaged_listing(output, name, error) from error
        if ignored is not None:
            ignored.append(left_out)
        if item is None:
            return
        yield from frozen_items(name, item)


def _range_names(keys: RemoteRange) -> Callable[[int], str]:
    content: list[object] = [keys.bucket, keys.keys.start, keys.keys.end, keys.pattern]
    if keys.selection:
        content += [keys.selection.include, keys.selection.exclude]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return functools.partial(range_listing, digest[:16])


def write_item(output: OutputFolder, name: str, item: WorkItem | None, *, ignored: int = 0) -> None:
    """Write a listing file once; None ends a sequence of files. `ignored` files were left out of it."""
    output.write_once(name, _pack(item, ignored))


def _pack(item: WorkItem | None, ignored: int = 0) -> bytes:
    content = _END if item is None else item.to_bytes()
    # A second line only where there is something to say: names of files and items stay what they were.
    return gzip.compress(content.rstrip(b"\n") + b"\n%d" % ignored if ignored else content, 1, mtime=0)


def unpack(data: bytes) -> bytes:
    """Return what a gzipped file of a listing holds; raise ValueError when it is damaged."""
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"damaged: {error}") from error


def read_item(output: Readable, name: str) -> WorkItem | None:
    """Read a listing file, archives not separated; None where it ends a sequence."""
    return _read_file(output, name)[0]


def _read_file(output: Readable, name: str) -> tuple[WorkItem | None, int]:
    """Return the work item of a listing file, and how many files were left out of it."""
    content, _, ignored = unpack(output.read(name)).partition(b"\n")
    return None if content == _END.strip() else WorkItem.from_bytes(content), int(ignored or 0)
