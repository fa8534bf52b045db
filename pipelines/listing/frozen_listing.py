"""The frozen listing: work items stored in the output, so that Beam passes file names instead of images.

Beam compresses the elements of a `Create` several times, which took 0.6 s for 60,000 names.

Repeating a listing gives the same names. A key range is listed into a sequence of work items, each written
once, under the range's digest and a number. A worker that repeats a range reads the existing files and
continues after the last name in them, so objects that appear or disappear in between do not change what was
listed. If a range has very many names, its sequence ends in a file that names further ranges for other
workers. A worker that repeats the range passes on the same ones.
"""

import dataclasses
import functools
import gzip
import hashlib
import itertools
import json
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, Self

from digitmill.storage import OutputFolder, Survey
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.bucket_ranges import RemoteRange
from pipelines.listing.frozen_labels import FrozenLabels
from pipelines.listing.input_listing import Listing
from pipelines.listing.true_labels import Labeler, label_from_folder
from pipelines.listing.work_item import ITEM_SIZE, MAX_ITEM_SIZE, WorkItem, pack_items, separate_archives
from schemas.errors import StorageError, UserError
from schemas.layout import LISTING, LISTING_INDEX, launcher_listing, range_listing
from schemas.versioned import check_types, decode, fields_of, parse_json

ItemRef = tuple[str, int]
"""Reference to a work item: its listing file, and its number there after archives are separated."""

LIST_ROUNDS: Final = 6
"""Maximum number of rounds in which workers list ranges and split what is left for the next round."""

HAND_ON_AFTER: Final = 4 * MAX_ITEM_SIZE
"""A worker splits the rest of a range after this many names: under a minute at 150 ms per page."""

SPLIT_INTO: Final = 16
"""Target number of ranges when a rest is split; takes about 100 requests."""

MIN_SPLIT: Final = 8192
"""Minimum number of names in a split range, so far as names are known."""

_END: Final = b"[]\n"
"""Content of the last file in a sequence of listing files."""

_RANGES: Final = "ranges"
"""JSON key in the last file of a sequence that continues in other ranges."""


class Readable(Protocol):
    """The part of an output folder's interface that reading a listing needs."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raise FileNotFoundError when it does not exist."""

    def at(self, name: str) -> str:
        """Return the location of a file, as users write it."""


class FrozenItem(NamedTuple):
    """A work item's entry in the index.

    Attributes:
        number: its number in the file, after archives are separated.
        may_be_archive: whether it is a single file that may contain many images.
    """

    file: str
    number: int
    digest: str
    images: int
    may_be_archive: bool

    @property
    def ref(self) -> ItemRef:
        """The reference that Beam passes on."""
        return self.file, self.number


@dataclasses.dataclass(frozen=True)
class ListingIndex:
    """Index of the frozen listing, written by the launcher.

    Attributes:
        ranges: key ranges for workers to list.
        buckets: number of buckets for the join with earlier runs; 0 for no join.
        ignored: number of files that the launcher left out, see `digitmill.storage.Survey`.
        vanished: number of folders that disappeared while the launcher listed them.
    """

    items: tuple[FrozenItem, ...]
    ranges: tuple[RemoteRange, ...] = ()
    buckets: int = 0
    ignored: int = 0
    vanished: int = 0

    def to_json(self) -> str:
        """Return the index as the text of its file."""
        fields = dataclasses.asdict(self) | {"ranges": [each.fields() for each in self.ranges]}
        return json.dumps(fields, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`; raise ValueError when the text is not an index."""
        with fields_of("an index of a listing"):
            fields = parse_json(text)
            rows, ranges = fields.pop("items"), fields.pop("ranges")
            check_types(rows, tuple(FrozenItem.__annotations__.values()))
            check_types([[*fields.values()]], (int,) * len(fields))
            keys = (decode(RemoteRange, each, what="a key range") for each in ranges)
            return cls(tuple(itertools.starmap(FrozenItem, rows)), tuple(keys), **fields)


def list_range(
    keys: RemoteRange,
    output: OutputFolder,
    *,
    run: str,
    folder_labels: bool,
    size: int = ITEM_SIZE,
    most: int | None = None,
    limits: ReadLimits | None = None,
) -> Iterator[tuple[str, WorkItem] | RemoteRange]:
    """List a key range into work items and yield each with its listing file; repeatable.

    After `most` names, it splits the rest into ranges, freezes them in the last file of the sequence, and
    yields them for other workers to list. Without `most` it lists to the end.

    `limits` apply to requests for single objects.
    """
    matching, start, count = None, keys.keys.start, 0
    survey = Survey(keys.selection)
    open_at = functools.partial(_matching, keys, survey, output, limits, folder_labels=folder_labels)
    for name in map(_range_names(keys), itertools.count()):
        listed = None
        if not output.exists(name):
            too_many = most and (count >= most or (not count and keys.is_large()))
            rest = _split_rest(keys, start) if too_many else ()
            if rest:
                output.write_once(name, _pack_ranges(rest))
            else:
                # Each file counts what was ignored between the previous file's last name and its own.
                survey.ignored = 0
                matching = matching or open_at(start)
                listed = next(pack_items(list(itertools.islice(matching, size)), run), None)
                write_item(output, name, listed, ignored=survey.ignored)
        # Read back: if two workers wrote the file at once, the first one's content counts.
        there = _read_file(output, name)
        if there.item is None:
            for part in there.ranges:
                if most:
                    yield part
                else:
                    yield from list_range(
                        part, output, run=run, folder_labels=folder_labels, size=size, limits=limits
                    )
            return
        yield name, there.item
        count += len(there.item.images)
        start = keys.after(there.item.images[-1])
        matching = matching if there.item == listed else None


def _split_rest(keys: RemoteRange, start: str) -> Sequence[RemoteRange]:
    """Split the rest of a range; return nothing if that does not pay."""
    parts = keys.split(start, num_ranges=SPLIT_INTO, least=MIN_SPLIT)
    return parts if len(parts) > 1 else ()


def _matching(
    keys: RemoteRange,
    survey: Survey,
    output: OutputFolder,
    limits: ReadLimits | None,
    start: str,
    *,
    folder_labels: bool,
) -> Iterator[ListedImage]:
    images = keys.list_images(start, survey, output, limits)
    if folder_labels:
        return map(label_from_folder, images)
    labels = FrozenLabels.open(output)
    return map(Labeler(labels).label, images) if labels else images


def freeze_listing(
    listing: Listing,
    output: OutputFolder,
    *,
    run: str,
    most: int = MAX_ITEM_SIZE,
    buckets: Callable[[int], int] = lambda _: 0,
    confirm: Callable[[], None] = lambda: None,
) -> Generator[FrozenItem, None, None]:
    """Write the launcher's listing as work items, yielding each one, and finally the index.

    Removes files of an earlier launcher that did not finish its index. Items that it scored are not scored
    again, because they are identified by content.

    Memory holds one item of images at a time. `buckets` returns the number of join buckets for a number of
    images, 0 for no join. `confirm` raises when another launcher has taken over the output.

    Raises:
        StorageError: when another launcher is listing into the output.
    """
    for name in output.names(LISTING):
        confirm()
        output.delete(f"{LISTING}/{name}")
    items: list[FrozenItem] = []
    for number, item in enumerate(pack_items(listing, run, size=min(ITEM_SIZE, most), most=most)):
        name = launcher_listing(number)
        # While this launcher was suspended, another one may have taken over and listed.
        confirm()
        _write_own(output, name, _pack(item))
        for each in frozen_items(name, item):
            items.append(each)
            yield each
    side_files = itertools.chain.from_iterable(make() for make in listing.side_files)
    for name, data in side_files if listing.ranges else ():
        confirm()
        _write_own(output, name, data)
    joined, survey = buckets(sum(item.images for item in items)), listing.survey
    index = ListingIndex(tuple(items), listing.ranges, joined, survey.ignored, survey.vanished)
    confirm()
    _write_own(output, LISTING_INDEX, index.to_json().encode())


def _write_own(output: OutputFolder, name: str, data: bytes) -> None:
    """Write a file of the launcher's listing; raise StorageError if another launcher has written it."""
    output.write_once(name, data)
    # A lease is valid for some seconds after its last renewal, so two launchers may write at once.
    try:
        there = output.read(name)
    except FileNotFoundError:
        there = None
    if there != data:
        raise StorageError(
            "another launcher is listing into the same output",
            value=output.at(name),
            hint="wait until it is done",
        )


def read_index(output: OutputFolder) -> ListingIndex | None:
    """Return the index; None until the launcher has finished listing.

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
    """Read the work item of a reference; raise UserError when its listing file is damaged."""
    name, number = ref
    try:
        return read_items(output, name)[number]
    except (ValueError, IndexError, FileNotFoundError) as error:
        raise damaged_listing(output, name, error) from error


def damaged_listing(output: Readable, name: str, error: Exception) -> UserError:
    """Return the error to raise when a run's own listing cannot be read."""
    return UserError(
        "the frozen listing of the run is damaged",
        value=output.at(name),
        hint=f"score into a new output: {error}",
    )


def read_items(output: Readable, name: str) -> list[WorkItem]:
    """Return the work items of a listing file, with archives separated; empty at the end of a sequence."""
    item = read_item(output, name)
    return [] if item is None else list(separate_archives([item]))


def read_range_items(
    output: Readable, keys: RemoteRange, *, ignored: list[int] | None = None
) -> Iterator[FrozenItem]:
    """Yield the work items of a completely listed range; append its numbers of ignored files to `ignored`.

    Raises:
        FileNotFoundError: when the range was not listed to its end.
        UserError: when a file is damaged.
    """
    parts = yield from read_sequence(output, _range_names(keys), ignored=ignored)
    for part in parts:
        yield from read_range_items(output, part, ignored=ignored)


def read_sequence(
    output: Readable, name_of: Callable[[int], str], *, ignored: list[int] | None = None
) -> Generator[FrozenItem, None, Sequence[RemoteRange]]:
    """Yield the work items of a sequence of listing files; `name_of` returns a file's name by number.

    Returns:
        The ranges in which the sequence continues.

    Raises:
        FileNotFoundError: when the last file of the sequence is missing.
        UserError: when a file is damaged.
    """
    for name in map(name_of, itertools.count()):
        try:
            there = _read_file(output, name)
        except ValueError as error:
            raise damaged_listing(output, name, error) from error
        if ignored is not None:
            ignored.append(there.ignored)
        if there.item is None:
            return there.ranges
        yield from frozen_items(name, there.item)
    raise AssertionError("a sequence has an end")


def _range_names(keys: RemoteRange) -> Callable[[int], str]:
    content: list[object] = [keys.bucket, keys.keys.start, keys.keys.end, keys.pattern]
    if keys.selection:
        content += [keys.selection.include, keys.selection.exclude]
    if keys.scheme != "gs" or keys.inputs:
        content += [keys.scheme, [dataclasses.astuple(each) for each in keys.inputs]]
    if keys.names:
        content.append(keys.names)
    if keys.part is not None:
        content.append(dataclasses.astuple(keys.part))
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return functools.partial(range_listing, digest[:16])


def write_item(output: OutputFolder, name: str, item: WorkItem | None, *, ignored: int = 0) -> None:
    """Write a listing file, unless it exists; None ends a sequence. `ignored` counts the ignored files."""
    output.write_once(name, _pack(item, ignored))


def _pack(item: WorkItem | None, ignored: int = 0) -> bytes:
    content = _END if item is None else item.to_bytes()
    # Write the second line only if it is not 0, so that names of files and items do not change.
    return gzip.compress(content.rstrip(b"\n") + b"\n%d" % ignored if ignored else content, 1, mtime=0)


def unpack(data: bytes) -> bytes:
    """Decompress a listing file; raise ValueError when it is damaged."""
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"damaged: {error}") from error


def read_item(output: Readable, name: str) -> WorkItem | None:
    """Read a listing file without separating archives; None at the end of a sequence."""
    return _read_file(output, name).item


class _ListingFile(NamedTuple):
    """Content of a listing file: a work item, or None and the ranges in which the sequence continues.

    Attributes:
        ignored: number of files that were left out.
    """

    item: WorkItem | None
    ranges: Sequence[RemoteRange]
    ignored: int


def _pack_ranges(ranges: Sequence[RemoteRange]) -> bytes:
    content = {_RANGES: [each.fields() for each in ranges]}
    return gzip.compress(json.dumps(content, separators=(",", ":")).encode() + b"\n", 1, mtime=0)


def _read_file(output: Readable, name: str) -> _ListingFile:
    content, _, ignored = unpack(output.read(name)).partition(b"\n")
    item, ranges = None, list[RemoteRange]()
    if content.startswith(b"{"):
        with fields_of("a listing file"):
            ranges = [decode(RemoteRange, each, what="a key range") for each in parse_json(content)[_RANGES]]
    elif content != _END.strip():
        item = WorkItem.from_bytes(content)
    return _ListingFile(item, ranges, int(ignored or 0))
