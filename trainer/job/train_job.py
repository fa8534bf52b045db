"""The training job: checks what it can before TensorFlow is loaded, then trains a network or an ensemble."""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from digitmill.commands import Effect
from digitmill.extras import require
from digitmill.native_log import quiet_start
from digitmill.storage import before_run
from schemas.errors import StoppedError, StorageError, UserError
from trainer import recipes
from trainer.cluster import tf_config
from trainer.cluster.restart import PeerLostError
from trainer.cluster.stop_watch import StopWatch
from trainer.data import rejects
from trainer.data.reading import ReadOptions, Source
from trainer.data.sources.source_specs import check_places, open_sources
from trainer.job.result import TrainResult
from trainer.loop.actions.preemption import PreemptedError
from trainer.report import writing
from trainer.run import disk_full, run_folder, run_location
from trainer.train_options import TrainOptions

_ALONE: Final = ("one", "mirrored")
"""Strategies of one machine, whatever `TF_CONFIG` names."""

_LOOK_SECONDS: Final = 5.0
"""Time between two looks, while waiting, whether the run is finished."""


def run(options: TrainOptions) -> TrainResult:
    """Train, evaluate, export and report; with several workers, the chief writes.

    With `--resume`, a finished run is left as it is.

    Raises:
        UserError: if an option or the data can't be used, or workers differ.
        JobFailedError: if training diverges, is preempted, or loses a worker.
        StoppedError: after a stop signal outside of the steps, or if the run folder can't be written.
    """
    require("tensorflow", wanted="digitmill train")
    recipes.check(options.recipe)
    check_places(options.data)
    _check_strategy(options.strategy)
    tf_config.set_from_launcher(os.environ)
    cluster = tf_config.read(os.environ)
    if options.strategy in _ALONE:
        cluster = tf_config.Cluster()
    where = run_location.of_run(options.output, os.environ)
    resume = f"Resume with: {options.command(resume=True)}"
    watch = StopWatch(
        f"stopped by a signal while waiting for other workers. {resume}", ends=cluster.workers > 1
    )
    with watch.watching(), _worded(watch, where, resume), contextlib.ExitStack() as stack:
        with before_run():
            if options.resume and run_folder.is_finished(where):
                return _finished(options, where, chief=cluster.is_chief)
        source = _open_sources(options, where, chief=cluster.is_chief)
        if cluster.is_chief:
            with before_run():
                where = stack.enter_context(run_folder.held(where))
                run_folder.claim(where, resume=options.resume)
                run_folder.write_config(where, options.run_config())
        with quiet_start():
            from trainer.job import ensemble, training, worker_facts
        if cluster.workers > 1 and not worker_facts.meet(options, is_over=_over(where, cluster)):
            return _finished(options, where, chief=False)
        train = ensemble.train if options.is_ensemble else training.train
        return train(options, source, where)


@contextlib.contextmanager
def _worded(watch: StopWatch, where: run_location.Places, resume: str) -> Iterator[None]:
    """Context that says how to resume after what ends a training from outside."""
    try:
        yield
    except PreemptedError as error:
        raise PreemptedError(f"{error}. {resume}") from None
    except PeerLostError as error:
        if watch.received is None:
            raise
        # All workers got the signal, and the others were faster.
        raise StoppedError(f"stopped by a signal, and {error}. {resume}", code=watch.code) from error
    except KeyboardInterrupt:
        # While waiting, reading data or writing the bundle, outside the loop that handles signals.
        raise StoppedError(f"stopped. {resume}", code=watch.code) from None
    except StorageError as error:
        raise StoppedError(f"{error} {resume}") from error
    except Exception as error:
        if not disk_full.is_disk_full(error):
            raise
        # Libraries seldom name the file.
        place = getattr(error, "filename", None) or where.run.uri
        raise StoppedError(f"the disk is full: {place!r}. Make room. {resume}") from error


def _open_sources(options: TrainOptions, where: run_location.Places, *, chief: bool) -> Source:
    found = rejects.Rejects(
        max_rate=options.max_bad_rate, write=functools.partial(_write_rejects, where) if chief else None
    )
    reading = ReadOptions(rejects=found, cache_dir=options.cache_dir, data_dir=options.data_dir, lists=chief)
    return open_sources(options.data, reading)


def _finished(options: TrainOptions, where: run_location.Places, *, chief: bool) -> TrainResult:
    """Return the result of a run that another process has finished; raise UserError if it is another one."""
    names = {name.replace("_", "-") for name in options.recorded(Effect.RESULT)}
    run_folder.check_same_settings(where, options.run_config(), names=sorted(names))
    found = writing.open_run(where.run.uri)
    print(f"the run is finished already: {where.run.at(run_folder.BUNDLE)}")
    return TrainResult(
        where.run.folder, where.run.folder / run_folder.BUNDLE, found.epochs, found.card, is_complete=chief
    )


def _over(where: run_location.Places, cluster: tf_config.Cluster) -> Callable[[], bool]:
    """Return a function that looks now and then whether the chief has finished without this worker."""
    due = time.monotonic()

    def is_over() -> bool:
        nonlocal due
        if cluster.is_chief or time.monotonic() < due:
            return False
        due = time.monotonic() + _LOOK_SECONDS
        return run_folder.is_finished(where)

    return is_over


def _check_strategy(strategy: str) -> None:
    if strategy == "parameter_server":
        raise UserError(
            "unsupported --strategy",
            value=strategy,
            hint=f"leave it out: {tf_config.PARAMETER_SERVER_REASON}",
        )


def _write_rejects(where: run_location.Places, text: str) -> None:
    (where.run.folder / rejects.FILE).write_text(text, encoding="utf-8")
    where.run.publish(rejects.FILE)
