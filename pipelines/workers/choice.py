"""Whether a run gets worker processes, and how many: only where they are worth their start."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Final

from digitmill import machine
from digitmill.engines.engine_choice import EngineKind, gpu_devices
from digitmill.storage.local_input import holds_more_than
from pipelines.score_options import ScoreOptions
from pipelines.scoring.scoring_task import ScoringTask
from pipelines.workers.pool import WorkerPool

FEW_IMAGES: Final = 8_192
"""So many images are scored in the launcher's own process: that takes less than starting others does."""

WORKER_BYTES: Final = 384 * 2**20
"""Memory to have for each worker process: twice what one takes with a small model."""


def worker_processes() -> int:
    """Return how many worker processes this machine has room for: one a CPU, as memory allows."""
    return max(1, min(machine.cpu_count(), machine.available_memory() // WORKER_BYTES))


def processes_for(asked: int | None, *, engine: EngineKind, images: int | None, items: int | None) -> int:
    """Returns how many worker processes a run gets on this machine; 1 is the launcher itself.

    Args:
        asked: what the user wants; None for what is best.
        engine: what runs the model; TensorFlow takes seconds and 700 MB a process, and fills a GPU.
        images: that are to be scored; None where nobody knows yet.
        items: their work items; likewise.
    """
    if asked is None:
        few = images is not None and images <= FEW_IMAGES
        asked = 1 if few or engine is EngineKind.SAVED_MODEL else worker_processes()
    return asked if items is None else max(1, min(asked, items))


@contextlib.contextmanager
def ready_pool(processes: int, task: ScoringTask, *, early: WorkerPool | None) -> Iterator[WorkerPool | None]:
    """Context manager that gives worker processes which know their task; None where one process is enough.

    Args:
        processes: how many, the launcher's own among them if it is the only one.
        task: what work items are scored by.
        early: processes that were started already, as many as there was room for then; ended where one is
            enough.
    """
    if processes == 1:
        if early is not None:
            early.close()
        yield None
        return
    with early or WorkerPool(processes) as pool:
        pool.assign(task)
        yield pool


@contextlib.contextmanager
def early_pool(options: ScoreOptions) -> Iterator[WorkerPool | None]:
    """Context manager that gives worker processes already, where a look at the input says that they pay.

    They get ready in the second in which the launcher imports Beam.
    """
    pool = WorkerPool(options.workers or worker_processes()) if _surely_many(options) else None
    try:
        if pool is not None and pool.processes > 1:
            pool.start()
            yield pool
        else:
            yield None
    finally:
        if pool is not None:
            pool.close()


def _surely_many(options: ScoreOptions) -> bool:
    on_gpu = options.engine == EngineKind.AUTO and gpu_devices() > 0
    if options.workers == 1 or on_gpu or options.engine == EngineKind.SAVED_MODEL:
        return False
    bounded = [bound for bound in (options.limit, options.sample) if bound is not None]
    if _names_a_runner(options.beam_flags) or any(bound <= FEW_IMAGES for bound in bounded):
        return False
    return any(
        "://" not in given and holds_more_than(os.fsencode(given), FEW_IMAGES) for given in options.inputs
    )


def _names_a_runner(flags: Sequence[str]) -> bool:
    """Whether Beam's flags may mean another engine than the one in this process."""
    return any(flag.startswith(("--runner", "--direct_running_mode")) for flag in flags)
