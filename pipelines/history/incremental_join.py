"""The join with earlier runs as a Beam transform, which wires the functions of `incremental`."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
from apache_beam.utils.shared import Shared

from digitmill.storage import open_folder
from pipelines.history import incremental
from pipelines.history.block_shuffle import Block, group_blocks, read_blocks
from pipelines.history.incremental import PastListingFile
from pipelines.listing.frozen_listing import ItemRef, frozen_items
from schemas.layout import bucket_listing


@dataclasses.dataclass(frozen=True)
class JoinTask:
    """Parameters of the join that every worker needs.

    Attributes:
        run: digest of everything besides the images that rows depend on.
        runs: number of earlier runs.
    """

    output: str
    run: str
    buckets: int
    runs: int
    max_size: int
    retry_failures: bool


class SkipScored(beam.PTransform):
    """Maps references to listed work items to references to work items that are left to score.

    Args:
        spill: see `group_blocks`.
    """

    def __init__(self, task: JoinTask, past: Sequence[PastListingFile], spill: Shared | None = None) -> None:
        super().__init__()
        self._task = task
        self._past = past
        self._spill = spill

    def expand(self, listed: beam.PCollection) -> beam.PCollection:
        """Join by bucket, then pack the buckets' images into work items."""
        current = (
            listed
            # Exactly one work item of a listing file is its first.
            | "Files" >> beam.FlatMap(lambda ref: [ref[0]] if ref[1] == 0 else [])
            | "SpreadListed" >> beam.Reshuffle()
            | "Listed" >> beam.FlatMap(_read_listed, self._task)
        )
        past = (
            listed.pipeline
            | "PastFiles" >> beam.Create(list(self._past))
            | "SpreadPast" >> beam.Reshuffle()
            | "Past" >> beam.FlatMap(incremental.past_blocks, buckets=self._task.buckets)
        )
        return (
            group_blocks((current, past), self._task.buckets, self._spill)
            | "Join" >> beam.FlatMap(_join_bucket, self._task)
            | "Counts" >> beam.combiners.ToList()
            | "Group" >> beam.FlatMap(_groups, max_size=self._task.max_size)
            | "SpreadGroups" >> beam.Reshuffle()
            | "Freeze" >> beam.FlatMap(_freeze_group, self._task)
        )


def _read_listed(name: str, task: JoinTask) -> Iterator[tuple[int, Block]]:
    output = open_folder(task.output)
    return incremental.current_blocks(output, name, run=task.runs, buckets=task.buckets)


def _join_bucket(grouped: tuple[int, Iterable[Block]], task: JoinTask) -> Iterator[tuple[int, int]]:
    """Write the images of a bucket left to score, unless done; yield bucket number and number of images."""
    number, blocks = grouped
    output = open_folder(task.output)
    joined = incremental.join_bucket(read_blocks(blocks), run=task.runs, retry_failures=task.retry_failures)
    output.write_once(bucket_listing(number), joined.to_bytes())
    # Read back: if two workers joined the bucket, the first result counts.
    yield number, len(incremental.read_bucket(output, number).todo)


def _groups(counts: list[tuple[int, int]], *, max_size: int) -> Iterator[tuple[int, list[int]]]:
    yield from enumerate(incremental.group_buckets([count for _, count in sorted(counts)], max_size=max_size))


def _freeze_group(group: tuple[int, list[int]], task: JoinTask) -> Iterator[ItemRef]:
    output = open_folder(task.output)
    for name, item in incremental.freeze_group(output, *group, run=task.run, max_size=task.max_size):
        yield from (frozen.ref for frozen in frozen_items(name, item))
