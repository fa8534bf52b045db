import csv
import io

import pytest
import yaml

from trainer.task import train
from trainer.train_options import TrainOptions
from trainer.tuning.trial_results import Trial, best, config, table


def trial(number, state="complete", accuracy: float | None = 0.9, loss: float | None = 0.3, **settings):
    return Trial(number, state, settings or {"learning_rate": 0.01}, accuracy, loss, epochs=2, seconds=1.5)


@pytest.mark.parametrize(
    ("trials", "number"),
    [
        ([], None),
        ([trial(0, "pruned", 0.99), trial(1, "failed", None, None)], None),
        ([trial(0, accuracy=0.9), trial(1, accuracy=0.95), trial(2, accuracy=0.93)], 1),
        ([trial(0, loss=0.3), trial(1, loss=0.2), trial(2, loss=0.25)], 1),
        ([trial(0, "pruned", 0.99), trial(1, accuracy=0.5)], 1),
    ],
)
def test_the_best_is_the_most_accurate_complete_trial(trials, number):
    found = best(trials)
    assert (None if found is None else found.number) == number


def test_the_table_has_a_row_per_trial_and_a_column_per_setting():
    text = table(
        [trial(0, batch=32, ema=0.9), trial(2, "failed", None, None, batch=64, ema=0.5)], ["batch", "ema"]
    )
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["number"], first["val_accuracy"], first["batch"], first["ema"]) == ("0", "0.9", "32", "0.9")
    assert (second["state"], second["val_accuracy"], second["batch"]) == ("failed", "", "64")


def test_the_config_can_be_trained():
    options = TrainOptions(
        recipe="cnn", data=("sample", "folder:x@5"), output="tuning", epochs=3, seed=7, resume=True
    )
    whole = yaml.safe_load(config(options, {"learning_rate": 0.003, "batch": 64, "schedule": "one-cycle"}))
    assert list(whole) == ["train"]
    words = []
    for name, value in whole["train"].items():
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name}", str(each)]
    with train.make_context("train", [*words, "--output", "run"]) as context:
        taken = TrainOptions(**context.params)
    assert taken == TrainOptions(
        recipe="cnn",
        data=("sample", "folder:x@5"),
        output="run",
        epochs=3,
        seed=7,
        learning_rate=0.003,
        batch=64,
        schedule="one-cycle",
    )
