"""Groups the images of each field across work items, in constant memory.

The outcomes of all work items are sorted by field on disk. An incremental run takes skipped images from the
earlier runs if it still lists them, but only for fields in which it has scored an image. Files with several
images are scored as a whole, so only those scored by this run count. The input list may have moved images to
other fields since an earlier run.
"""

import itertools
import operator
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import file_of
from digitmill.storage.sorted_rows import SortedRows
from pipelines.fields.field_checks import Reading
from pipelines.fields.field_names import FieldPlace
from pipelines.fields.field_values import Member
from pipelines.history.incremental import PastListingFile, past_listing_files, run_listing_files
from pipelines.history.past_runs import PastRun
from pipelines.listing.frozen_listing import read_items
from pipelines.listing.work_item import WorkItem
from pipelines.rows.row_reading import read_part, row_parts
from pipelines.statistics.item_statistics import read_record
from schemas.layout import statistics_name
from schemas.prediction import COLUMNS, Decision

PlaceOf = Callable[[str, ListedImage], FieldPlace | None]
"""Returns the place of an image by its URI and the listed file that holds it; None if it is in no field."""

_NO_OUTCOME: Final = "no prediction in the earlier runs"

_READ: Final = ("image", "digit", "confidence", "second_digit", "second_confidence", "decision", "label")
_COLUMNS: Final = tuple(column for column in COLUMNS if column.name in _READ)
_HASH_BITS: Final = 24


class _Entry(NamedTuple):
    """What a run says of an image of a field, as it is sorted: `member` is one as JSON has it.

    Attributes:
        run: number of the run; -1 for an image that the last run lists, whatever its outcome.
        file: URI of the listed file, and its generation.
    """

    run: int
    file: str
    generation: int
    member: list[Any]


_LISTED: Final = -1


class _SeenNames:
    """The names that were added, and, of many millions, a few others: a hash of each in two megabytes."""

    def __init__(self) -> None:
        self._bits = bytearray(1 << _HASH_BITS - 3)

    def add(self, name: str) -> None:
        at = self._place(name)
        self._bits[at >> 3] |= 1 << (at & 7)

    def __contains__(self, name: str) -> bool:
        at = self._place(name)
        return bool(self._bits[at >> 3] >> (at & 7) & 1)

    def _place(self, name: str) -> int:
        return zlib.crc32(name.encode(errors="surrogatepass")) >> 32 - _HASH_BITS


class JoinedField(NamedTuple):
    """A field with its images.

    Attributes:
        first: first position of the run's fields: 0 if any field has a position 0, otherwise 1.
    """

    name: str
    members: list[Member]
    first: int


def join_fields(
    output: OutputFolder,
    names: Iterable[str],
    past: Sequence[PastRun],
    place_of: PlaceOf,
    *,
    listed: bool = False,
) -> Iterator[JoinedField]:
    """Yield the fields in which a run has scored an image, sorted by name.

    Args:
        output: the run's output.
        names: names of the run's files, including its listing.
        past: the earlier runs whose images were skipped, oldest first.
        place_of: returns an image's place in a field.
        listed: whether fields come from the listing, which may have changed since an image was scored.

    Raises:
        StorageError: when files of a run are missing or damaged, or the temporary disk is full.
    """
    rows, seen, current = SortedRows(), _SeenFields(), len(past)
    files = list(run_listing_files(current, output.place, names))
    for file in files:
        rows.add(seen.noted(_outcomes(file, place_of)))
    if past and len(rows):
        for file in files:
            rows.add(seen.among(_listed(file, place_of)))
        rows.add(seen.among(_moved(past, files, place_of, seen) if listed else _earlier(past, place_of)))
    for field, group in itertools.groupby(rows, key=operator.itemgetter(0)):
        members = _members([_Entry(*entry) for _, entry in group], current)
        if members:
            yield JoinedField(field, members, seen.first)


class _SeenFields(_SeenNames):
    """The fields of a run.

    Attributes:
        first: the position from which they count, as far as is known.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = 1

    def noted(self, entries: "_Entries") -> "_Entries":
        """Yield entries unchanged; add their fields."""
        for field, entry in entries:
            self.add(field)
            yield field, self._counted(entry)

    def among(self, entries: "_Entries") -> "_Entries":
        """Yield the entries of these fields."""
        return ((field, entry) for field, entry in entries if self._counted(entry) and field in self)

    def _counted(self, entry: _Entry) -> _Entry:
        if entry.member[0] == 0:
            self.first = 0
        return entry


_Entries = Iterator[tuple[str, _Entry]]
"""Names of fields, and an image of each."""


def _earlier(past: Sequence[PastRun], place_of: PlaceOf) -> Iterator[tuple[str, _Entry]]:
    """Yield the outcomes of earlier runs."""
    for file in past_listing_files(past):
        yield from _outcomes(file, place_of)


def _moved(
    past: Sequence[PastRun], files: Sequence[PastListingFile], place_of: PlaceOf, seen: _SeenNames
) -> Iterator[tuple[str, _Entry]]:
    """Yield the outcomes of earlier runs with the places that the last run's listing files give their images.

    Outcomes and places are sorted by the listed files on disk, so that neither is held in memory.
    """
    rows, wanted = SortedRows(), _SeenNames()

    def places() -> Iterator[tuple[str, object]]:
        for field, entry in itertools.chain.from_iterable(_listed(file, place_of) for file in files):
            if field in seen:
                wanted.add(entry.file)
                yield entry.file, [_LISTED, field, entry.member[0]]

    rows.add(places())
    rows.add(
        (uri, entry)
        for uri, entry in _earlier(past, lambda _, listed: FieldPlace(listed.uri, None))
        if uri in wanted
    )
    for _, group in itertools.groupby(rows, key=operator.itemgetter(0)):
        # The place comes first: its number is the least.
        (_, (run, *place)), *outcomes = group
        for _, outcome in outcomes if run == _LISTED else ():
            number, file, generation, (_, *member) = outcome
            field, position = place
            yield field, _Entry(number, file, generation, [position, *member])


def _members(entries: Sequence[_Entry], current: int) -> list[Member]:
    """Return the images of a field; none if the current run has scored none of them."""
    if all(entry.run != current for entry in entries):
        return []
    outcomes: dict[tuple[str, int], list[_Entry]] = {}
    listed: dict[tuple[str, int], _Entry] = {}
    for entry in entries:
        version = entry.file, entry.generation
        if entry.run == _LISTED:
            listed[version] = entry
        else:
            last = outcomes.setdefault(version, [])
            if last and last[0].run < entry.run:
                last.clear()
            if not last or last[0].run == entry.run:
                last.append(entry)
    kept = [
        entry
        for version, last in outcomes.items()
        for entry in last
        if entry.run == current or version in listed
    ]
    kept += [entry for version, entry in listed.items() if version not in outcomes]
    return [_as_member(entry.member) for entry in kept]


def _as_member(fields: Sequence[Any]) -> Member:
    position, image, failure, reading, *rest = fields
    return Member(position, image, failure, reading and Reading(*reading), *rest)


def _listed(file: PastListingFile, place_of: PlaceOf) -> Iterator[tuple[str, _Entry]]:
    """Yield the images that a listing file holds, without their outcomes."""
    with file.damage_reported():
        for item in read_items(open_folder(file.place), file.name) if file.listed else ():
            for image in item.images:
                if place := place_of(image.uri, image):
                    member = [place.position, image.uri, _NO_OUTCOME, None]
                    yield place.field, _Entry(_LISTED, image.uri, image.generation, member)


def _outcomes(file: PastListingFile, place_of: PlaceOf) -> Iterator[tuple[str, _Entry]]:
    """Yield the outcomes of a listing file's work items."""
    output = open_folder(file.place)
    with file.damage_reported():
        for item in read_items(output, file.name) if file.scored else ():
            yield from _item_outcomes(item, output, file.number, place_of)


def _item_outcomes(
    item: WorkItem, output: OutputFolder, run: int, place_of: PlaceOf
) -> Iterator[tuple[str, _Entry]]:
    files = {image.uri: image for image in item.images}

    def entry(uri: str, *outcome: Any) -> Iterator[tuple[str, _Entry]]:
        listed = item.images[0] if item.may_be_archive else files[file_of(uri, files)]
        if place := place_of(uri, listed):
            member = [place.position, uri, *outcome]
            yield place.field, _Entry(run, listed.uri, listed.generation, member)

    record = read_record(output.read(statistics_name(item.digest)), output)
    for failure in record.failures:
        yield from entry(failure.image, failure.code, None)
    for part in row_parts(record.parts):
        for found in read_part(output, part, _COLUMNS):
            lists = [each.tolist() if isinstance(each, np.ndarray) else each for each in found.values()]
            for image, digit, confidence, second, second_confidence, decision, label in zip(
                *lists, strict=True
            ):
                reading = Reading(digit, confidence, second, second_confidence)
                yield from entry(image, "", reading, decision == Decision.ACCEPT.value, label)
