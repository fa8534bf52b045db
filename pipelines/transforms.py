"""The scoring pipeline as Beam sees it: wiring, and the one DoFn that does the work."""

import collections
import pathlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.bundle import Bundle
from pipelines.engine import LiteRtEngine
from pipelines.scoring import score_and_write
from pipelines.work_item import WorkItem

ITEMS_IN_FLIGHT = 2
"""Work items that a worker process has under way: one reads while another is scored and written."""


class ScoreImages(beam.PTransform):
    """PCollection of packed work items (`bytes`) to PCollection of the digests of those done (`str`).

    Items travel packed, because Beam encodes an element anew at every edge it crosses. Predictions go
    to the output folder, not through a shuffle, which would cost 15-73 us an image.
    """

    def __init__(self, bundle: Bundle, *, output: pathlib.Path, accept_threshold: float) -> None:
        super().__init__()
        self._dofn = ScoreWorkItem(bundle, output=output, accept_threshold=accept_threshold)

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Spreads the items over the workers and scores each once."""
        # Reshuffle: without it all items would be fused with their creation and stay on one worker.
        return items | "Spread" >> beam.Reshuffle() | "Score" >> beam.ParDo(self._dofn)


class ScoreWorkItem(beam.DoFn):
    """Scores work items, a few at a time; a bundle is done when all of its items are written."""

    def __init__(self, bundle: Bundle, *, output: pathlib.Path, accept_threshold: float) -> None:
        super().__init__()
        self._bundle = bundle
        self._output = output
        self._accept_threshold = accept_threshold

    def setup(self) -> None:
        """Loads the model, once per worker: what Beam pickles, it pickles and compresses again and again."""
        self._engine = LiteRtEngine(self._bundle.read_model())
        self._pool = ThreadPoolExecutor(ITEMS_IN_FLIGHT, thread_name_prefix="score")

    def start_bundle(self) -> None:
        """Begins with nothing under way."""
        self._under_way: collections.deque[Future[str]] = collections.deque()

    def process(self, packed: bytes) -> Iterator[str]:
        """Starts one item and yields those that had to finish before it could start."""
        if len(self._under_way) >= ITEMS_IN_FLIGHT:
            yield self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(self._score, WorkItem.from_bytes(packed)))

    def finish_bundle(self) -> Iterator[Any]:
        """Waits for what is still under way: only then is the bundle's work promised to be done."""
        while self._under_way:
            digest = self._under_way.popleft().result()
            yield WindowedValue(digest, MIN_TIMESTAMP, [GlobalWindow()])

    def teardown(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def _score(self, item: WorkItem) -> str:
        return score_and_write(
            item, self._engine, output=self._output, accept_threshold=self._accept_threshold
        ).digest
