"""A run's parts without training: answers made up on real digits."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from schemas.model.accuracy import Accuracy
from schemas.model.model_card import ModelCard
from tests.schemas.model.test_model_card import FULL
from tests.trainer.report.histories import EPOCHS
from trainer import recipes
from trainer.data.splits import Digits, Split
from trainer.metrics.measures import Evaluation
from trainer.report import measuring, writing
from trainer.report.record import RunRecord
from trainer.run import history
from trainer.run.history import Epoch
from trainer.run.run_location import LocalPlace
from trainer.train_options import TrainOptions


def answered(split: Split, *, wrong_each: int = 10) -> Evaluation:
    """Right but for every so many images, which are taken for the next digit; less sure as they go on."""
    answer = split.labels.astype(np.int64) % 10
    answer[::wrong_each] = (answer[::wrong_each] + 1) % 10
    sure = np.linspace(0.97, 0.55, len(split), dtype=np.float32)
    probabilities = np.repeat(((1 - sure) / 9)[:, None], 10, axis=1).astype(np.float32)
    probabilities[np.arange(len(split)), answer] = sure
    return Evaluation.of(split.labels, probabilities)


@pytest.fixture(scope="session")
def record_of(few_digits: Digits) -> Callable[..., RunRecord]:
    """Make a run's record."""

    def make(
        digits: Digits = few_digits, *, wrong_each: int = 10, threshold: float = 0.9, **more
    ) -> RunRecord:
        told = {"recipe": "dense-128", "data": "few", "output": "run", "seed": 3, **more.pop("options", {})}
        options = TrainOptions(**told)
        before = {name: answered(split, wrong_each=wrong_each) for name, split in digits.splits().items()}
        after = {name: found.at_temperature(0.8) for name, found in before.items()}
        return measuring.record(
            options,
            recipes.load("dense-128"),
            digits,
            uncalibrated=before,
            calibrated=after,
            **{"threshold": 0.9, "learning_rates": ((0, 0.1), (5, 0.2), (9, 0.05)), **more},
        )

    return make


@pytest.fixture(scope="session")
def run_record(record_of) -> RunRecord:
    return record_of()


@pytest.fixture(scope="session")
def card(run_record: RunRecord) -> ModelCard:
    """A card that goes with `run_record`."""
    test = run_record.answers["test"]
    measured = Accuracy(test.right, test.images)
    return dataclasses.replace(
        FULL,
        epochs=run_record.settings["epochs"],
        test_accuracy=measured,
        temperature=0.8,
        overrides={"epochs": 3},
    )


@pytest.fixture(scope="session")
def folder_of(
    tmp_path_factory: pytest.TempPathFactory, card: ModelCard, run_record: RunRecord
) -> Callable[..., pathlib.Path]:
    """Write a finished run's folder, without the models, a new one at each call."""

    def make(
        name: str = "run",
        *,
        record: RunRecord | None = run_record,
        epochs: tuple[Epoch, ...] = EPOCHS,
        **changed: object,
    ) -> pathlib.Path:
        folder = tmp_path_factory.mktemp("runs") / name
        (folder / "bundle").mkdir(parents=True)
        of_run = dataclasses.replace(card, **changed)
        history.write(epochs, folder)
        if record is not None:
            writing.write_run(LocalPlace(folder), of_run, record, epochs=epochs)
        (folder / "bundle" / "model_card.json").write_text(of_run.to_json(), encoding="utf-8")
        return folder

    return make
