"""Decides how many worker processes a run gets, if they save more time than they cost."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from digitmill import machine
from digitmill.engines.engine_choice import EngineKind, gpu_devices
from digitmill.storage.local_input import count_files, count_images
from pipelines.score_options import ScoreOptions
from pipelines.scoring.scoring_task import ScoringTask
from pipelines.workers.pool import WorkerPool

FEW_IMAGES: Final = 8_192
"""Up to this many images are scored in the launcher's process: starting others would take longer."""

MANY_IMAGES: Final = 65_536
"""Images are counted up to this many before a run begins, which takes 50 ms."""

WORKER_BYTES: Final = 384 * 2**20
"""Memory that a worker process needs: twice what one takes with a small model."""


def worker_processes() -> int:
    """Return how many worker processes this machine has room for: one per CPU, as memory allows."""
    return max(1, min(machine.cpu_count(), machine.available_memory() // WORKER_BYTES))


def processes_for(requested: int | None, *, engine: EngineKind, images: int | None, items: int | None) -> int:
    """Return how many processes score a run on this machine; 1 is the launcher itself.

    Numbers of images and work items are None if unknown. By default TensorFlow scores in the launcher: it
    takes seconds and 700 MB a process, and fills a GPU.
    """
    if requested is None:
        few = images is not None and images <= FEW_IMAGES
        requested = 1 if few or engine is EngineKind.SAVED_MODEL else worker_processes()
    return requested if items is None else max(1, min(requested, items))


@contextlib.contextmanager
def ready_pool(processes: int, task: ScoringTask, *, early: WorkerPool | None) -> Iterator[WorkerPool | None]:
    """Context manager around a pool with its task assigned; yields None if the launcher scores by itself.

    Uses the early pool, or closes it if the launcher scores by itself.
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
    """Context manager around a pool started before inputs are listed; yields None if the run may be small.

    The processes get ready while the launcher imports Beam, which takes a second.
    """
    processes = (options.workers or worker_processes()) if _surely_many(options) else 1
    if processes == 1:
        yield None
        return
    with WorkerPool(processes) as pool:
        pool.start()
        yield pool


def _surely_many(options: ScoreOptions) -> bool:
    on_gpu = options.engine == EngineKind.AUTO and gpu_devices() > 0
    if options.workers == 1 or on_gpu or options.engine == EngineKind.SAVED_MODEL:
        return False
    bounded = [bound for bound in (options.limit, options.sample) if bound is not None]
    # Such a flag may select an engine outside this process.
    names_runner = any(flag.startswith(("--runner", "--direct_running_mode")) for flag in options.beam_flags)
    if names_runner or any(bound <= FEW_IMAGES for bound in bounded):
        return False
    return count_files(_local_folders(options), FEW_IMAGES + 1) > FEW_IMAGES


def may_compare(options: ScoreOptions, pool: WorkerPool | None) -> bool:
    """Whether a run with this early pool may compare engines: it names none, and has many images.

    Not with `--workers 1`, which asks for the least memory.
    """
    if options.engine != EngineKind.AUTO:
        return False
    return pool is not None or (options.workers is None and _surely_many(options))


def known_images(options: ScoreOptions) -> int | None:
    """Return how many images a run scores, if that is seen at once; None for many or an unknown number."""
    bounds = [bound for bound in (options.limit, options.sample) if bound is not None]
    folders = _local_folders(options)
    if (
        options.input_list is None
        and len(folders) == len(options.inputs)
        and all(map(os.path.isdir, folders))
    ):
        counted = count_images(folders, MANY_IMAGES)
        bounds += [] if counted is None else [counted]
    return min(bounds, default=None)


def _local_folders(options: ScoreOptions) -> list[bytes]:
    return [os.fsencode(given) for given in options.inputs if "://" not in given]
