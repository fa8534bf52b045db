"""Proves that every listed image has one outcome, from what the work items committed."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from pipelines.frozen_listing import read_range
from pipelines.listing import RemoteRange
from pipelines.scoring import statistics_name
from pipelines.statistics import ItemStatistics, RunStatistics, merge
from pipelines.storage import OutputFolder
from pipelines.work_item import WorkItem
from schemas.errors import UnreconciledError

_REMEDY = "score again into a new output"


def collect(
    items: Iterable[WorkItem], ranges: Sequence[RemoteRange] = (), *, output: OutputFolder
) -> RunStatistics:
    """Reads the statistics record of every work item, checks and merges them.

    Args:
        items: the work items of what the launcher listed.
        ranges: what workers listed; their work items are read from the output.
        output: where the records are.

    Raises:
        UnreconciledError: when a record is missing or does not account for its item's images.
    """
    frozen = itertools.chain.from_iterable(_items_of(keys, output) for keys in ranges)
    listed = itertools.chain(items, frozen)
    return merge(_checked(item, output) for item in listed)


def _items_of(keys: RemoteRange, output: OutputFolder) -> Iterator[WorkItem]:
    try:
        yield from read_range(output, keys)
    except FileNotFoundError as error:
        raise UnreconciledError(
            f"every range of names is listed to its end; {keys.bucket} from {keys.keys.start!r}: "
            f"there is no {error}; {_REMEDY}"
        ) from error


def _checked(item: WorkItem, output: OutputFolder) -> ItemStatistics:
    name = statistics_name(item.digest)
    try:
        statistics = ItemStatistics.from_json(output.read(name).decode())
    except (FileNotFoundError, ValueError) as error:
        raise UnreconciledError(
            f"every work item has a statistics record; {name} with {len(item.images):,} images: "
            f"{error}; {_REMEDY}"
        ) from error
    outcomes = statistics.scored + len(statistics.failures)
    # An archive lists its own images; at least itself, where it holds none.
    whole = statistics.listed > 0 if item.may_be_archive else statistics.listed == len(item.images)
    if not whole or statistics.listed != outcomes:
        raise UnreconciledError(
            f"listed = scored + failed; work item {item.digest}: {len(item.images):,} names, "
            f"{statistics.listed:,} listed, {statistics.scored:,} scored, "
            f"{len(statistics.failures):,} failed; {_REMEDY}"
        )
    return statistics
