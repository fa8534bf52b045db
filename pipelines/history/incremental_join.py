"""The join with earlier runs as Beam sees it: wiring, and the DoFns that do the work."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam

from digitmill.storage import open_folder
from pipelines.history import incremental
from pipelines.history.incremental import Block, PastFile
from pipelines.listing.frozen_listing import ItemRef, frozen_items


@dataclasses.dataclass(frozen=True)
class JoinTask:
    """What every worker must know of the join.

    Attributes:
        output: place of the output folder.
        run: digest of all that rows depend on beside the images.
        buckets: number of buckets that names are spread over.
        runs: number of earlier runs.
        most: greatest number of images in a work item.
        retry_failures: whether what had failed is to be scored again.
    """

    output: str
    run: str
    buckets: int
    runs: int
    most: int
    retry_failures: bool


class SkipScored(beam.PTransform):
    """PCollection of `ItemRef` of what is listed to PCollection of `ItemRef` of what is left to score."""

    def __init__(self, task: JoinTask, past: Sequence[PastFile]) -> None:
        super().__init__()
        self._task = task
        self._past = past

    def expand(self, listed: beam.PCollection) -> beam.PCollection:
        """Joins by bucket, then packs the buckets' images into work items."""
        current = (
            listed
            # A listing file has one first work item.
            | "Files" >> beam.FlatMap(lambda ref: [ref[0]] if ref[1] == 0 else [])
            | "SpreadListed" >> beam.Reshuffle()
            | "Listed" >> beam.ParDo(ReadListed(self._task))
        )
        past = (
            listed.pipeline
            | "PastFiles" >> beam.Create(list(self._past))
            | "SpreadPast" >> beam.Reshuffle()
            | "Past" >> beam.ParDo(ReadPast(self._task))
        )
        # Every bucket is there, also one that nothing hashes to, so that a missing one is seen.
        empty = listed.pipeline | "Buckets" >> beam.Create(
            [(bucket, (-1, incremental.LISTED, b"")) for bucket in range(self._task.buckets)]
        )
        return (
            (current, past, empty)
            | beam.Flatten()
            | "ByBucket" >> beam.GroupByKey()
            | "Join" >> beam.ParDo(JoinBucket(self._task))
            | "Counts" >> beam.combiners.ToList()
            | "Group" >> beam.FlatMap(_groups, most=self._task.most)
            | "SpreadGroups" >> beam.Reshuffle()
            | "Freeze" >> beam.ParDo(FreezeGroup(self._task))
        )


class ReadListed(beam.DoFn):
    """This run's listing files to blocks by bucket."""

    def __init__(self, task: JoinTask) -> None:
        super().__init__()
        self._task = task

    def process(self, name: str) -> Iterator[tuple[int, Block]]:
        """Yields the file's names in blocks."""
        task = self._task
        yield from incremental.current_blocks(
            open_folder(task.output), name, run=task.runs, buckets=task.buckets
        )


class ReadPast(beam.DoFn):
    """Earlier runs' listing files to blocks by bucket."""

    def __init__(self, task: JoinTask) -> None:
        super().__init__()
        self._task = task

    def process(self, file: PastFile) -> Iterator[tuple[int, Block]]:
        """Yields the file's names in blocks."""
        yield from incremental.past_blocks(file, buckets=self._task.buckets)


class JoinBucket(beam.DoFn):
    """Blocks of a bucket to its number and how many of its images are to be scored."""

    def __init__(self, task: JoinTask) -> None:
        super().__init__()
        self._task = task

    def process(self, grouped: tuple[int, Iterable[Block]]) -> Iterator[tuple[int, int]]:
        """Freezes what is to be scored, once."""
        number, blocks = grouped
        output = open_folder(self._task.output)
        joined = incremental.join(
            (block for block in blocks if block[2]),
            run=self._task.runs,
            retry_failures=self._task.retry_failures,
        )
        output.write_once(incremental.bucket_name(number), joined.to_bytes())
        # Read back: of two workers that joined it the first one's answer counts for both.
        yield number, len(incremental.read_bucket(output, number).todo)


class FreezeGroup(beam.DoFn):
    """Groups of buckets to references of the work items that they make."""

    def __init__(self, task: JoinTask) -> None:
        super().__init__()
        self._task = task

    def process(self, group: tuple[int, list[int]]) -> Iterator[ItemRef]:
        """Packs a group."""
        output, task = open_folder(self._task.output), self._task
        for name, item in incremental.freeze_group(output, *group, run=task.run, most=task.most):
            yield from (frozen.ref for frozen in frozen_items(name, item))


def _groups(counts: list[tuple[int, int]], *, most: int) -> Iterator[tuple[int, list[int]]]:
    yield from enumerate(incremental.groups([count for _, count in sorted(counts)], most=most))
