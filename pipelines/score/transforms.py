"""The steps of the scoring pipeline, and their DoFns."""

import collections
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Final

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from digitmill.storage import open_folder
from pipelines.listing.bucket_ranges import RemoteRange
from pipelines.listing.frozen_listing import HAND_ON_AFTER, LIST_ROUNDS, ItemRef, frozen_items, list_range
from pipelines.scoring.scoring_task import ItemScorer, LocalScorer, ScoringTask

_REFS: Final = "refs"
_REST: Final = "rest"


class ListInputs(beam.PTransform):
    """Lists the inputs in the launcher's process: a pipeline's begin to a PCollection of `ItemRef`.

    A runner that works in the launcher's process calls `refs` once.
    """

    def __init__(self, refs: Callable[[], Iterator[ItemRef]]) -> None:
        super().__init__()
        # Beam pickles functions, but passes on what a `Shared` holds as it is.
        self._shared = Shared()
        self._shared.acquire(lambda: refs)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        """List when the pipeline runs, and yield each work item as soon as it is listed."""
        return begin | beam.Impulse() | "List" >> beam.FlatMap(_list_here, self._shared)


def _list_here(_: bytes, shared: Shared) -> Iterator[ItemRef]:
    return shared.acquire(_not_here)()


def _not_here() -> None:
    raise RuntimeError("only the launcher's process can list the inputs")


def list_ranges(ranges: beam.PCollection, task: ScoringTask) -> beam.PCollection:
    """Spread `RemoteRange`s over the workers and list each once: to a PCollection of `ItemRef`.

    A worker lists so many names of a range, and the next round spreads what it leaves; the last one leaves
    nothing.
    """
    listed = []
    for number in range(LIST_ROUNDS):
        last = number == LIST_ROUNDS - 1
        name = f"ListRanges{number or ''}"
        refs = (
            ranges
            | f"Spread{name.removeprefix('List')}" >> beam.Reshuffle()
            | name >> beam.FlatMap(_list_range, task, last=last).with_outputs(_REST, main=_REFS)
        )
        listed.append(refs[_REFS])
        ranges = refs[_REST]
    return listed | "ListedRanges" >> beam.Flatten()


def _list_range(keys: RemoteRange, task: ScoringTask, *, last: bool) -> Iterator[Any]:
    """List a range of names as work items that are frozen in the output; yield an `ItemRef` to each.

    What is left of a range goes to the output `_REST`, as `RemoteRange`s.
    """
    output = open_folder(task.output, retry_seconds=task.limits.retry_seconds)
    for listed in list_range(
        keys,
        output,
        run=task.run,
        folder_labels=task.folder_labels,
        size=task.rows_per_part,
        most=None if last else HAND_ON_AFTER,
        limits=task.limits,
    ):
        if isinstance(listed, RemoteRange):
            yield TaggedOutput(_REST, listed)
        else:
            yield from (frozen.ref for frozen in frozen_items(*listed))


class ScoreImages(beam.PTransform):
    """PCollection of `ItemRef` to PCollection of the digests of the items that are done (`str`).

    Predictions go to the output folder, not through a shuffle, which would cost 15-73 us an image.

    Args:
        task: parameters of the scoring.
        scorer: holds the scorer, if the launcher has made one; workers in other processes find it empty and
            make their own.
        spread: whether to spread the items over the runner's workers. Otherwise this step is fused with the
            one before it, and each item goes to the scorer as soon as it is yielded.
    """

    def __init__(self, task: ScoringTask, scorer: Shared | None = None, *, spread: bool = True) -> None:
        super().__init__()
        self._score = ScoreWorkItem(task, scorer)
        self._spread = spread

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Score each item once."""
        # Without a reshuffle all items would be fused with their creation and stay on one worker.
        spread = items | "Spread" >> beam.Reshuffle() if self._spread else items
        return spread | "Score" >> beam.ParDo(self._score)


class ScoreWorkItem(beam.DoFn):
    """Submits work items to a scorer; a bundle is done when all of its items are written."""

    def __init__(self, task: ScoringTask, scorer: Shared | None = None) -> None:
        super().__init__()
        self._task = task
        # One model, and one bound on connections and requests, for all threads of a worker process.
        self._shared = scorer or Shared()

    def setup(self) -> None:
        """Load the model and open storage, once per worker process."""
        self._scorer: ItemScorer = self._shared.acquire(lambda: LocalScorer(self._task))
        self._pending: collections.deque[Future[str]] = collections.deque()

    def start_bundle(self) -> None:
        """Start with nothing pending."""
        self._pending.clear()

    def process(self, ref: ItemRef) -> Iterator[str]:
        """Submit one item; yield the digests of earlier ones that are done, or must be done first."""
        while self._pending and (self._pending[0].done() or len(self._pending) >= self._scorer.max_pending):
            yield self._pending.popleft().result()
        self._pending.append(self._scorer.submit(ref))

    def finish_bundle(self) -> Iterator[Any]:
        """Wait for pending items, so that the bundle counts as done only then."""
        while self._pending:
            digest = self._pending.popleft().result()
            yield WindowedValue(digest, MIN_TIMESTAMP, [GlobalWindow()])

    def teardown(self) -> None:
        """Cancel the pending items of a failed bundle."""
        self._scorer.cancel(self._pending)
