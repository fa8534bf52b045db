"""Lets worker processes score what is listed while the launcher still lists the rest."""

from collections.abc import Set

from pipelines.frozen_listing import FrozenItem
from pipelines.scoring import record_name
from pipelines.scoring_task import ScoringTask
from pipelines.workers.pool import WorkerPool


class EarlyStart:
    """Begins with work items as they are listed, if there are processes for it.

    Args:
        pool: the processes, which have no task yet; None for no early start.
        task: what work items are scored by.
        done: names of the statistics records that are there already.
    """

    def __init__(self, pool: WorkerPool | None, task: ScoringTask, *, done: Set[str]) -> None:
        self._pool = pool
        self._done = done
        if pool is not None:
            pool.assign(task)

    def begin(self, item: FrozenItem) -> None:
        """Begins with an item unless it is done."""
        if self._pool is not None and record_name(item.digest) not in self._done:
            self._pool.begin(item.ref)

    def end(self) -> None:
        """Ends the processes: after this, nothing more is written."""
        if self._pool is not None:
            self._pool.close()
