"""Proves that every listed image has one outcome, from what the work items committed."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

from digitmill.storage import OutputFolder
from pipelines.history import incremental
from pipelines.listing.frozen_listing import (
    LISTING,
    Frozen,
    FrozenItem,
    frozen_items,
    frozen_range,
    read_item,
)
from pipelines.scoring.parts import PREDICTIONS
from pipelines.statistics.item_statistics import ItemStatistics, RunStatistics, merge
from schemas.errors import UnreconciledError
from schemas.layout import STATISTICS, statistics_name
from schemas.manifest import Part

_REMEDY = "score again into a new output"


@dataclasses.dataclass(frozen=True)
class Account:
    """What became of everything that was listed.

    Attributes:
        statistics: of what this run scored or failed.
        skipped: listed images that an earlier run vouches for.
        records: the work items' statistics records, with their images as rows.
        listing: the listing files.
    """

    statistics: RunStatistics
    skipped: int
    records: tuple[Part, ...]
    listing: tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """What proves it."""
        return self.records + self.listing


def collect(frozen: Frozen, *, output: OutputFolder, most: int) -> Account:
    """Reads the statistics record of every work item, checks and merges them.

    Args:
        frozen: what was listed; what workers listed is read from the output.
        output: where the records are.
        most: greatest number of images in a work item.

    Raises:
        UnreconciledError: when a record is missing, does not account for its item's images, or names a
            file that is not there.
    """
    listed = itertools.chain(frozen.items, _range_items(frozen, output))
    items: Iterable[FrozenItem] = listed
    skipped = 0
    if frozen.buckets:
        items, skipped = _joined(frozen, sum(item.images for item in listed), output=output, most=most)
    records: list[Part] = []
    statistics = merge(_checked(item, output, records) for item in items)
    _check_files(statistics, output)
    return Account(statistics, skipped, tuple(records), tuple(_listing_parts(output)))


def remove_strays(output: OutputFolder, account: Account) -> None:
    """Removes what tries that came to nothing have left: they must not be taken for outputs."""
    named = {part.name for part in (*account.parts, *account.statistics.parts)}
    for folder in (PREDICTIONS, STATISTICS):
        for name in output.names(folder):
            if f"{folder}/{name}" not in named:
                output.delete(f"{folder}/{name}")
    remove_unfinished(output, ("", LISTING, "reports"))


def remove_unfinished(output: OutputFolder, folders: Iterable[str]) -> None:
    """Removes what a process was writing when it was killed."""
    for folder in folders:
        for name in output.names(folder):
            if name.startswith(".") and name.endswith(".tmp"):
                output.delete(f"{folder}/{name}".lstrip("/"))


def _range_items(frozen: Frozen, output: OutputFolder) -> Iterator[FrozenItem]:
    for keys in frozen.ranges:
        try:
            yield from frozen_range(output, keys)
        except FileNotFoundError as error:
            raise UnreconciledError(
                f"every range of names is listed to its end; {keys.bucket} from {keys.keys.start!r}: "
                f"there is no {error}; {_REMEDY}"
            ) from error


def _joined(frozen: Frozen, listed: int, *, output: OutputFolder, most: int) -> tuple[list[FrozenItem], int]:
    """Returns the work items that the join has left, and how many images it skipped."""
    skipped, counts = 0, []
    try:
        # One bucket at a time: all of them are all names.
        for number in range(frozen.buckets):
            bucket = incremental.read_bucket(output, number)
            skipped += bucket.skipped
            counts.append(len(bucket.todo))
        items = list(_grouped(output, counts, most=most))
    except FileNotFoundError as error:
        raise UnreconciledError(
            f"every listed name is joined with earlier runs; there is no {error}; {_REMEDY}"
        ) from error
    todo, packed = sum(counts), sum(item.images for item in items)
    if (listed, todo) != (todo + skipped, packed):
        raise UnreconciledError(
            f"listed = skipped + to be scored; {listed:,} listed, {skipped:,} skipped, "
            f"{todo:,} to be scored, {packed:,} in work items; {_REMEDY}"
        )
    return items, skipped


def _grouped(output: OutputFolder, counts: list[int], *, most: int) -> Iterator[FrozenItem]:
    for group, _ in enumerate(incremental.groups(counts, most=most)):
        for number in itertools.count():
            name = incremental.joined_name(group, number)
            item = read_item(output, name)
            if item is None:
                break
            yield from frozen_items(name, item)


def _checked(item: FrozenItem, output: OutputFolder, records: list[Part]) -> ItemStatistics:
    name = statistics_name(item.digest)
    try:
        data = output.read(name)
        statistics = ItemStatistics.from_json(data.decode())
    except (FileNotFoundError, ValueError) as error:
        raise UnreconciledError(
            f"every work item has a statistics record; {name} with {item.images:,} images: {error}; {_REMEDY}"
        ) from error
    records.append(Part.of(name, data, rows=statistics.listed))
    outcomes = statistics.scored + len(statistics.failures)
    # An archive lists its own images; at least itself, where it holds none.
    whole = statistics.listed > 0 if item.may_be_archive else statistics.listed == item.images
    if not whole or statistics.listed != outcomes:
        raise UnreconciledError(
            f"listed = scored + failed; work item {item.digest}: {item.images:,} names, "
            f"{statistics.listed:,} listed, {statistics.scored:,} scored, "
            f"{len(statistics.failures):,} failed; {_REMEDY}"
        )
    return statistics


def _check_files(statistics: RunStatistics, output: OutputFolder) -> None:
    """Holds what the records name against what is there: a disk that lost power may have kept only those."""
    there = output.names(PREDICTIONS)
    missing = [part.name for part in statistics.parts if part.name.rpartition("/")[2] not in there]
    if missing:
        raise UnreconciledError(
            f"every prediction file that a record names is there; {missing[0]} and {len(missing) - 1:,} more "
            f"are not; {_REMEDY}"
        )


def _listing_parts(output: OutputFolder) -> Iterator[Part]:
    for name in sorted(output.names(LISTING)):
        if not name.startswith("."):
            yield Part.of(f"{LISTING}/{name}", output.read(f"{LISTING}/{name}"))
