"""One training job: what can be checked at once is checked before TensorFlow is loaded."""

import dataclasses
import os
import pathlib

from schemas.model_card import Accuracy
from trainer import recipes, run_folder
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
        output: the run folder: `bundle/`, `history.csv`, `plots/`.
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
    """Trains, evaluates, exports, plots, and prints a summary.

    Raises:
        UserError: when something that was given cannot be used.
        NotFiniteError: when training diverges (a RuntimeError).
    """
    recipes.check(options.recipe)
    # Written from the moment that reading starts, when the run folder is claimed.
    book = rejects.Rejects(
        max_rate=options.max_bad_rate,
        write=lambda text: (options.output / rejects.FILE).write_text(text, encoding="utf-8"),
    )
    reading = Reading(rejects=book, cache_dir=options.cache_dir)
    source = open_sources(options.data, data_dir=options.data_dir, reading=reading)
    run_folder.claim(options.output)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet_stderr():
        from trainer import training
    return training.train(options, source)
