"""Proves that every listed image has one outcome, from what the work items committed."""

import pathlib
from collections.abc import Sequence

from pipelines.scoring import statistics_file
from pipelines.statistics import ItemStatistics, RunStatistics, merge
from pipelines.work_item import WorkItem
from schemas.errors import UnreconciledError


def collect(items: Sequence[WorkItem], output: pathlib.Path) -> RunStatistics:
    """Reads the statistics record of every work item, checks and merges them.

    Raises:
        UnreconciledError: when a record is missing or does not account for its item's images.
    """
    return merge(_checked(item, output) for item in items)


def _checked(item: WorkItem, output: pathlib.Path) -> ItemStatistics:
    record = statistics_file(output, item.digest)
    try:
        statistics = ItemStatistics.from_json(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise UnreconciledError(
            f"every work item has a statistics record; {record.name} with {len(item.images):,} images: "
            f"{error}; score again into a new output"
        ) from error
    outcomes = statistics.scored + len(statistics.failures)
    if not len(item.images) == statistics.listed == outcomes:
        raise UnreconciledError(
            f"listed = scored + failed; work item {item.digest}: {len(item.images):,} listed, "
            f"{statistics.scored:,} scored, {len(statistics.failures):,} failed; "
            "score again into a new output"
        )
    return statistics
