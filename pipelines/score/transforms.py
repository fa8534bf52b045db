"""The scoring pipeline as Beam sees it: wiring, and the DoFns that do the work."""

import collections
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from digitmill.storage import open_folder
from pipelines.listing.frozen_listing import ItemRef, RangeLister
from pipelines.listing.input_listing import RemoteRange
from pipelines.scoring.scoring_task import ItemScorer, LocalScorer, ScoringTask


class ListRanges(beam.PTransform):
    """PCollection of `RemoteRange` to PCollection of `ItemRef`."""

    def __init__(self, task: ScoringTask) -> None:
        super().__init__()
        self._task = task

    def expand(self, ranges: beam.PCollection) -> beam.PCollection:
        """Spreads the ranges over the workers and lists each once."""
        return ranges | "SpreadRanges" >> beam.Reshuffle() | "List" >> beam.ParDo(ListRange(self._task))


class ListRange(beam.DoFn):
    """Lists a range of names into work items that are frozen in the output."""

    def __init__(self, task: ScoringTask) -> None:
        super().__init__()
        self._task = task

    def setup(self) -> None:
        """Opens the output."""
        self._lister = RangeLister(
            open_folder(self._task.output),
            run=self._task.run,
            folder_labels=self._task.folder_labels,
            size=self._task.rows_per_part,
        )

    def process(self, keys: RemoteRange) -> Iterator[ItemRef]:
        """Yields references to the range's work items."""
        yield from self._lister.refs(keys)


class ScoreImages(beam.PTransform):
    """PCollection of `ItemRef` to PCollection of the digests of the items that are done (`str`).

    Predictions go to the output folder, not through a shuffle, which would cost 15-73 us an image.

    Args:
        task: what the items are scored by.
        shared: holds what scores them, where the launcher has made it already; workers in other
            processes find it empty and make their own.
    """

    def __init__(self, task: ScoringTask, shared: Shared | None = None) -> None:
        super().__init__()
        self._task = task
        self._shared = shared or Shared()

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Spreads the items over the workers and scores each once."""
        # Reshuffle: without it all items would be fused with their creation and stay on one worker.
        return (
            items
            | "Spread" >> beam.Reshuffle()
            | "Score" >> beam.ParDo(ScoreWorkItem(self._task, self._shared))
        )


class ScoreWorkItem(beam.DoFn):
    """Scores work items, a few at a time; a bundle is done when all of its items are written."""

    def __init__(self, task: ScoringTask, shared: Shared | None = None) -> None:
        super().__init__()
        self._task = task
        # One model, and one bound on connections and requests, for all threads of a worker process.
        self._shared = shared or Shared()

    def setup(self) -> None:
        """Loads the model and opens storage, once per worker process."""
        self._scorer: ItemScorer = self._shared.acquire(self._make_scorer)
        self._pool = ThreadPoolExecutor(self._scorer.in_flight, thread_name_prefix="score")

    def start_bundle(self) -> None:
        """Begins with nothing under way."""
        self._under_way: collections.deque[Future[str]] = collections.deque()

    def process(self, ref: ItemRef) -> Iterator[str]:
        """Starts one item and yields those that had to finish before it could start."""
        if len(self._under_way) >= self._scorer.in_flight:
            yield self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(self._scorer.run, ref))

    def finish_bundle(self) -> Iterator[Any]:
        """Waits for what is still under way: only then is the bundle's work promised to be done."""
        while self._under_way:
            digest = self._under_way.popleft().result()
            yield WindowedValue(digest, MIN_TIMESTAMP, [GlobalWindow()])

    def teardown(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def _make_scorer(self) -> ItemScorer:
        return LocalScorer(self._task)
