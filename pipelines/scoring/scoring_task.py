"""Parameters of a scoring worker, and the scorer in its process. Does not depend on Beam."""

import dataclasses
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, Protocol

from digitmill.engines.bundle_loader import Bundle
from digitmill.storage import ImageReader, open_folder
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.frozen_listing import ItemRef, load_item
from pipelines.listing.relative_names import RelativeNames
from pipelines.listing.work_item import MAX_ITEM_SIZE
from pipelines.scoring.classify import load_classifier
from pipelines.scoring.scorer import Scorer
from pipelines.statistics.audit_sample import AuditDraw
from schemas.errors import WorkerError
from schemas.layout import DEFAULT_FORMATS, Compression, Format, part_order
from schemas.prediction import Pages

ITEMS_IN_FLIGHT: Final = 2
"""Work items that a worker process handles at once: one is read while another is scored and written.

Decoding the next chunk of an item in another thread made 240,000 local images 16 % slower on two cores,
because the threads contend for the GIL.
"""

_MAX_THREADS: Final = 256

_CANCEL_SECONDS: Final = 5.0
"""A canceled item that takes longer than this, in seconds, waits for a store and is interrupted."""


@dataclasses.dataclass(frozen=True)
class ScoringTask:
    """Parameters of every worker; small, because Beam pickles and compresses it repeatedly.

    Attributes:
        run: digest of everything besides the images that rows depend on.
        extra: names of the run's optional columns.
        names: names of the images relative to the run's inputs.
    """

    bundle: Bundle
    output: str
    run: str
    accept_threshold: float
    limits: ReadLimits = ReadLimits()  # noqa: RUF009 - frozen
    folder_labels: bool = False
    pages: Pages = Pages.ALL
    rows_per_part: int = MAX_ITEM_SIZE
    compression: Compression = Compression.RECORDS
    formats: tuple[Format, ...] = DEFAULT_FORMATS
    challenger: Bundle | None = None
    extra: tuple[str, ...] = ()
    names: RelativeNames = RelativeNames()  # noqa: RUF009 - frozen
    audit: int | None = None


class ItemScorer(Protocol):
    """Scores the work items of a frozen listing. Thread-safe.

    Attributes:
        max_pending: number of unfinished items after which a Beam bundle waits before it submits more.
    """

    max_pending: int

    def submit(self, ref: ItemRef) -> Future[str]:
        """Start an item; the future's result is its digest, once it is scored and written."""

    def cancel(self, pending: Iterable[Future[str]]) -> None:
        """Cancel submitted items; items being scored may or may not finish."""


class LocalScorer:
    """Scores work items in threads of this process; an `ItemScorer`.

    Raises:
        UserError: when a bundle has changed since it was opened.
        EngineError: when this machine cannot run a model.
    """

    max_pending = ITEMS_IN_FLIGHT

    def __init__(self, task: ScoringTask) -> None:
        self._output = open_folder(task.output, retry_seconds=task.limits.retry_seconds)
        self._reader = ImageReader(task.limits)
        self._scorer = Scorer(
            load_classifier(task.bundle, accept_threshold=task.accept_threshold, challenger=task.challenger),
            self._reader,
            output=self._output,
            folder_labels=task.folder_labels,
            pages=task.pages,
            rows=task.rows_per_part,
            compression=task.compression,
            formats=task.formats,
            extra=task.extra,
            names=task.names,
            audit=None if task.audit is None else AuditDraw(task.audit, task.bundle.digest),
        )
        # Grows with the number of concurrent Beam bundles in this process; each bundle's items are bounded.
        self._threads = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="score")

    def submit(self, ref: ItemRef) -> Future[str]:
        """Start an item in a thread; the future's result is that of `run`."""
        return self._threads.submit(self.run, ref)

    def cancel(self, pending: Iterable[Future[str]]) -> None:
        """Cancel items; wait until items being scored are written, but interrupt waits for a store."""
        scored = [future for future in pending if not future.cancel()]
        # Repeat: an interruption that falls between two requests has no effect.
        while wait(scored, timeout=_CANCEL_SECONDS).not_done:
            self._reader.interrupt()
            self._output.interrupt()

    def run(self, ref: ItemRef) -> str:
        """Score and write an item, and return its digest; raise WorkerError when memory runs out."""
        item = load_item(self._output, ref)
        try:
            return self._scorer.run(item, part_order(*ref)).digest
        except MemoryError as error:
            raise WorkerError(
                "a worker ran out of memory on a work item",
                value=f"{item.digest}, which starts with {item.images[0].uri}",
                hint="give workers more memory, or run fewer of them on a machine",
            ) from error
