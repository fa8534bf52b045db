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
    """Lists the inputs in the launcher's process: from a pipeline's start to a PCollection of `ItemRef`.

    Only for runners in the launcher's process, which call `refs` once.
    """

    def __init__(self, refs: Callable[[], Iterator[ItemRef]]) -> None:
        super().__init__()
        # Beam pickles functions, but passes on the content of a `Shared` unchanged.
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
    """Spread `RemoteRange`s over the workers and list each once; return a PCollection of `ItemRef`.

    In each round, a worker lists a bounded number of names of its range; the next round spreads the rest. The
    last round lists everything.
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
    """List a range of names as work items frozen in the output; yield an `ItemRef` for each.

    The rest of the range goes to the tagged output `_REST`, as `RemoteRange`s.
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
    """Scores work items: from a PCollection of `ItemRef` to one of the digests of finished items (`str`).

    Predictions go to the output folder, not through a shuffle, which would cost 15-73 us per image.

    Args:
        task: parameters of the scoring.
        scorer: holds the launcher's scorer, if it made one; workers in other processes find it empty and make
            their own.
        spread: whether to spread the items over the runner's workers. If not, this step is fused with the
            previous one, and each item goes to the scorer as soon as it is yielded.
    """

    def __init__(self, task: ScoringTask, scorer: Shared | None = None, *, spread: bool = True) -> None:
        super().__init__()
        self._score = ScoreWorkItem(task, scorer)
        self._spread = spread

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Score each item once."""
        # Without a reshuffle, this step would be fused with the items' creation and run on one worker.
        spread = items | "Spread" >> beam.Reshuffle() if self._spread else items
        return spread | "Score" >> beam.ParDo(self._score)


class ScoreWorkItem(beam.DoFn):
    """Submits work items to a scorer; a Beam bundle is done when all its items are written."""

    def __init__(self, task: ScoringTask, scorer: Shared | None = None) -> None:
        super().__init__()
        self._task = task
        # All threads of a worker process share one model, and one limit on connections and requests.
        self._shared = scorer or Shared()

    def setup(self) -> None:
        """Load the model and open storage, once per worker process."""
        self._scorer: ItemScorer = self._shared.acquire(lambda: LocalScorer(self._task))
        self._pending: collections.deque[Future[str]] = collections.deque()

    def start_bundle(self) -> None:
        """Start with nothing pending."""
        self._pending.clear()

    def process(self, ref: ItemRef) -> Iterator[str]:
        """Submit one item; yield the digests of finished items, waiting for some if too many are pending."""
        while self._pending and (self._pending[0].done() or len(self._pending) >= self._scorer.max_pending):
            yield self._pending.popleft().result()
        self._pending.append(self._scorer.submit(ref))

    def finish_bundle(self) -> Iterator[Any]:
        """Wait for pending items, so that the bundle is not done before they are."""
        while self._pending:
            digest = self._pending.popleft().result()
            yield WindowedValue(digest, MIN_TIMESTAMP, [GlobalWindow()])

    def teardown(self) -> None:
        """Cancel the pending items of a failed bundle."""
        self._scorer.cancel(self._pending)
