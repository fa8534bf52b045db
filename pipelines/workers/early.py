"""Lets worker processes score what is listed while the launcher still lists the rest."""

import time
from collections.abc import Set
from types import TracebackType
from typing import Self

from pipelines.listing.frozen_listing import FrozenItem
from pipelines.scoring.scoring_task import ScoringTask
from pipelines.workers.pool import WorkerPool
from schemas.layout import record_name


class EarlyStart:
    """Context manager around the listing: begins with work items as they are listed, if there are processes.

    Whatever ends the listing early ends the processes, before anybody takes back what they have written or
    another launcher may have the output.

    Args:
        pool: the processes, which have no task yet; None for no early start.
        task: what work items are scored by.
        done: names of the statistics records that are there already.

    Attributes:
        began: when the first item was begun, by `time.monotonic`; None where none was.
    """

    def __init__(self, pool: WorkerPool | None, task: ScoringTask, *, done: Set[str]) -> None:
        self.began: float | None = None
        self._pool = pool
        self._done = done
        if pool is not None:
            pool.assign(task)

    def begin(self, item: FrozenItem) -> None:
        """Begins with an item unless it is done."""
        if self._pool is not None and record_name(item.digest) not in self._done:
            self.began = self.began or time.monotonic()
            self._pool.begin(item.ref)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._pool is not None:
            self._pool.close()
