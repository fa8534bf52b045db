"""One training job: what can be checked at once is checked before TensorFlow is loaded."""

import dataclasses
import functools
import json
import os
import pathlib
from typing import Any

from schemas.bundle import CARD
from schemas.errors import StoppedError, UserError
from schemas.model_card import Accuracy
from trainer import cluster, command, places, recipes, run_folder
from trainer.data import rejects
from trainer.data.reading import Reading
from trainer.data.source import open_sources
from trainer.history import Epoch
from trainer.options import TrainOptions
from trainer.preemption import PreemptedError
from trainer.quiet import quiet_start


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

    def as_data(self) -> dict[str, Any]:
        """Returns the epochs and the card in JSON's types, where this process wrote the bundle."""
        return {
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "card": json.loads((self.bundle / CARD).read_text(encoding="utf-8")),
        }


def run(options: TrainOptions) -> TrainResult:
    """Trains, evaluates, exports, reports, and prints a summary; of several workers the chief writes.

    Raises:
        UserError: when something that was given cannot be used.
        JobFailedError: when training diverges, is told to end, or loses a worker.
    """
    recipes.check(options.recipe)
    _check_strategy(options.strategy)
    cluster.announce(os.environ)
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
        run_folder.write_config(where, command.run_config_of(options))
    with quiet_start():
        from trainer import ensemble, training
    train = ensemble.train if options.is_ensemble else training.train
    try:
        return train(options, source, where)
    except PreemptedError as error:
        raise PreemptedError(f"{error}: {command.resuming(options)}") from None
    except KeyboardInterrupt:
        # While data are read or the bundle is written; what the last checkpoint holds is kept.
        raise StoppedError(f"told to stop; this goes on with it: {command.resuming(options)}") from None


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
