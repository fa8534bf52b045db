"""What a worker must know to score work items, and what does so in its process. Knows nothing of Beam."""

import contextlib
import dataclasses
from typing import Final, Protocol

from digitmill.engines.bundle_loader import Bundle
from digitmill.storage import ImageReader, open_folder
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.frozen_listing import ItemRef, load
from pipelines.listing.work_item import MOST
from pipelines.scoring.classify import Classifier, make_classifier
from pipelines.scoring.model_place import at_worker
from pipelines.scoring.rows import Compression
from pipelines.scoring.scorer import Scorer
from schemas.errors import WorkerError

ITEMS_IN_FLIGHT: Final = 2
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


class ItemScorer(Protocol):
    """Scores the work items of a frozen listing; threads may share it.

    Attributes:
        in_flight: how many items it can have under way at once.
    """

    in_flight: int

    def run(self, ref: ItemRef) -> str:
        """Returns the digest of an item that is scored and written."""


class LocalScorer:
    """Scores work items in this process.

    Args:
        task: what to score them by.

    Raises:
        UserError: when a bundle has been changed since it was opened.
        EngineError: when this machine cannot run one.
    """

    in_flight = ITEMS_IN_FLIGHT

    def __init__(self, task: ScoringTask) -> None:
        self._output = open_folder(task.output)
        self._scorer = Scorer(
            _make_classifier(task),
            ImageReader(task.limits),
            output=self._output,
            folder_labels=task.folder_labels,
            rows=task.rows_per_part,
            compression=task.compression,
        )

    def run(self, ref: ItemRef) -> str:
        """Returns the digest of an item that is scored and written.

        Raises:
            WorkerError: when there is not the memory for it.
        """
        item = load(self._output, ref)
        try:
            return self._scorer.run(item).digest
        except MemoryError as error:
            raise WorkerError(
                "a worker has the memory that a work item takes",
                got=f"{item.digest}, which begins with {item.images[0].uri}",
                remedy="give workers more memory, or let fewer of them share a machine's",
            ) from error


def _make_classifier(task: ScoringTask) -> Classifier:
    with contextlib.ExitStack() as stack:
        bundle, challenger = (
            stack.enter_context(at_worker(given, task.models)) if given else None
            for given in (task.bundle, task.challenger)
        )
        assert bundle is not None
        # Loaded into memory; the files are needed no longer.
        return make_classifier(bundle, accept_threshold=task.accept_threshold, challenger=challenger)
