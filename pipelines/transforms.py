"""The scoring pipeline as Beam sees it: wiring, and the DoFns that do the work."""

import collections
import contextlib
import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from engines.bundle import Bundle
from pipelines.classify import Classifier, make_classifier
from pipelines.frozen_listing import ItemRef, RangeLister, load
from pipelines.listing import RemoteRange
from pipelines.model_place import at_worker
from pipelines.read_limits import ReadLimits
from pipelines.rows import Compression
from pipelines.scoring import Scorer
from pipelines.storage import ImageReader, open_folder
from pipelines.work_item import MOST

ITEMS_IN_FLIGHT = 2
"""Work items that a worker process has under way: one reads while another is scored and written.

Decoding the next chunk of an item in yet another thread made 240,000 local images 16 % slower on two
cores: the threads only take turns then.
"""


@dataclasses.dataclass(frozen=True)
class ScoringTask:
    """What every worker must know; small, because Beam pickles and compresses it again and again.

    Attributes:
        bundle: the model bundle; its model is read by the worker.
        output: place of the output folder.
        run: digest of all that rows depend on beside the images.
        accept_threshold: confidence from which a prediction is accepted.
        limits: how hard the worker may lean on an object store.
        folder_labels: whether an image's folder is its label.
        rows_per_part: greatest number of rows in a prediction file.
        compression: which prediction files are gzipped.
        challenger: the bundle of a second model, or None.
        models: where workers find models that are not on their disks; None where all see the launcher's.
    """

    bundle: Bundle
    output: str
    run: str
    accept_threshold: float
    limits: ReadLimits = ReadLimits()  # noqa: RUF009 - frozen
    folder_labels: bool = False
    rows_per_part: int = MOST
    compression: Compression = Compression.RECORDS
    challenger: Bundle | None = None
    models: str | None = None


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
    """

    def __init__(self, task: ScoringTask) -> None:
        super().__init__()
        self._task = task

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Spreads the items over the workers and scores each once."""
        # Reshuffle: without it all items would be fused with their creation and stay on one worker.
        return items | "Spread" >> beam.Reshuffle() | "Score" >> beam.ParDo(ScoreWorkItem(self._task))


class ScoreWorkItem(beam.DoFn):
    """Scores work items, a few at a time; a bundle is done when all of its items are written."""

    def __init__(self, task: ScoringTask) -> None:
        super().__init__()
        self._task = task
        # One model, and one bound on connections and requests, for all threads of a worker process.
        self._shared = Shared()

    def setup(self) -> None:
        """Loads the model and opens storage, once per worker process."""
        self._output = open_folder(self._task.output)
        self._scorer = self._shared.acquire(self._make_scorer)
        self._pool = ThreadPoolExecutor(ITEMS_IN_FLIGHT, thread_name_prefix="score")

    def start_bundle(self) -> None:
        """Begins with nothing under way."""
        self._under_way: collections.deque[Future[str]] = collections.deque()

    def process(self, ref: ItemRef) -> Iterator[str]:
        """Starts one item and yields those that had to finish before it could start."""
        if len(self._under_way) >= ITEMS_IN_FLIGHT:
            yield self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(self._score, ref))

    def finish_bundle(self) -> Iterator[Any]:
        """Waits for what is still under way: only then is the bundle's work promised to be done."""
        while self._under_way:
            digest = self._under_way.popleft().result()
            yield WindowedValue(digest, MIN_TIMESTAMP, [GlobalWindow()])

    def teardown(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def _make_scorer(self) -> Scorer:
        return Scorer(
            self._make_classifier(),
            ImageReader(self._task.limits),
            output=open_folder(self._task.output),
            folder_labels=self._task.folder_labels,
            rows=self._task.rows_per_part,
            compression=self._task.compression,
        )

    def _make_classifier(self) -> Classifier:
        task = self._task
        with contextlib.ExitStack() as stack:
            bundle, challenger = (
                stack.enter_context(at_worker(given, task.models)) if given else None
                for given in (task.bundle, task.challenger)
            )
            assert bundle is not None
            # Loaded into memory; the files are needed no longer.
            return make_classifier(bundle, accept_threshold=task.accept_threshold, challenger=challenger)

    def _score(self, ref: ItemRef) -> str:
        return self._scorer.run(load(self._output, ref)).digest
