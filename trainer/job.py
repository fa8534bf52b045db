"""One training job: what can be checked at once is checked before TensorFlow is loaded."""

import dataclasses
import functools
import os
import pathlib

from schemas.errors import UserError
from schemas.model_card import Accuracy
from trainer import cluster, places, recipes, run_folder
from trainer.data import rejects
from trainer.data.reading import Reading
from trainer.data.source import open_sources
from trainer.history import Epoch
from trainer.options import TrainOptions
from trainer.quiet import quiet_stderr


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        output: the run folder: `bundle/`, `history.csv`, `report.html`; of a run in a bucket, the local
            copy, which is gone when the process ends.
        bundle: the model bundle within it.
        history: what each epoch reached.
        validation_accuracy: of the trained model; None where no image was held out.
        test_accuracy: of the trained model, on images looked at once.
        test_loss: mean cross-entropy on them, nats.
        seconds: time of the training loop, validation included.
    """

    output: pathlib.Path
    bundle: pathlib.Path
    history: tuple[Epoch, ...]
    validation_accuracy: Accuracy | None
    test_accuracy: Accuracy
    test_loss: float
    seconds: float


def run(options: TrainOptions) -> TrainResult:
    """Trains, evaluates, exports, reports, and prints a summary; of several workers the chief writes.

    Raises:
        UserError: when something that was given cannot be used.
        JobFailedError: when training diverges, is told to end, or loses a worker.
    """
    recipes.check(options.recipe)
    _check_strategy(options.strategy)
    where = places.of_run(options.output, os.environ)
    chief = cluster.read(os.environ).is_chief
    # Written from the moment that reading starts, when the run folder is claimed.
    book = rejects.Rejects(
        max_rate=options.max_bad_rate,
        write=functools.partial(_write_rejects, where) if chief else _write_nothing,
    )
    reading = Reading(rejects=book, cache_dir=options.cache_dir)
    source = open_sources(options.data, data_dir=options.data_dir, reading=reading)
    # The others read checkpoints there, and write nothing.
    if chief:
        run_folder.claim(where, resume=options.resume)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet_stderr():
        from trainer import ensemble, training
    train = ensemble.train if options.is_ensemble else training.train
    return train(options, source, where)


def _check_strategy(strategy: str) -> None:
    if strategy == "parameter_server":
        raise UserError(
            "--strategy is one of auto, one, mirrored, multi_worker",
            got=strategy,
            remedy=f"leave it out: {cluster.PARAMETER_SERVER_REASON}",
        )


def _write_rejects(where: places.Places, text: str) -> None:
    (where.run.folder / rejects.FILE).write_text(text, encoding="utf-8")
    where.run.publish(rejects.FILE)


def _write_nothing(text: str) -> None:
    """The chief writes for all."""
