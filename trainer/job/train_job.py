"""The training job: checks what it can before TensorFlow is loaded, then trains a network or an ensemble."""

import functools
import os

from digitmill.native_log import quiet_start
from digitmill.storage import before_run
from schemas.errors import StoppedError, UserError
from trainer import recipes
from trainer.cluster import tf_config
from trainer.data import rejects
from trainer.data.reading import ReadOptions
from trainer.data.sources.source_specs import open_sources
from trainer.job.result import TrainResult
from trainer.loop.actions.preemption import PreemptedError
from trainer.run import run_folder, run_location
from trainer.train_options import TrainOptions


def run(options: TrainOptions) -> TrainResult:
    """Train, evaluate, export and report; with several workers, the chief writes.

    Raises:
        UserError: if an option or the data can't be used.
        JobFailedError: if training diverges, is preempted, or loses a worker.
    """
    recipes.check(options.recipe)
    _check_strategy(options.strategy)
    tf_config.set_from_launcher(os.environ)
    where = run_location.of_run(options.output, os.environ)
    chief = tf_config.read(os.environ).is_chief
    found = rejects.Rejects(
        max_rate=options.max_bad_rate, write=functools.partial(_write_rejects, where) if chief else None
    )
    reading = ReadOptions(rejects=found, cache_dir=options.cache_dir, data_dir=options.data_dir)
    source = open_sources(options.data, reading)
    if chief:
        with before_run():
            run_folder.claim(where, resume=options.resume)
            run_folder.write_config(where, options.run_config())
    with quiet_start():
        from trainer.job import ensemble, training
    train = ensemble.train if options.is_ensemble else training.train
    try:
        return train(options, source, where)
    except PreemptedError as error:
        raise PreemptedError(f"{error}: {options.command(resume=True)}") from None
    except KeyboardInterrupt:
        # While reading data or writing the bundle, outside the loop that handles signals.
        raise StoppedError(f"stopped. Resume with: {options.command(resume=True)}") from None


def _check_strategy(strategy: str) -> None:
    if strategy == "parameter_server":
        raise UserError(
            "--strategy is none of auto, one, mirrored, multi_worker",
            value=strategy,
            hint=f"leave it out: {tf_config.PARAMETER_SERVER_REASON}",
        )


def _write_rejects(where: run_location.Places, text: str) -> None:
    (where.run.folder / rejects.FILE).write_text(text, encoding="utf-8")
    where.run.publish(rejects.FILE)
