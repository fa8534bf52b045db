"""Searches that train: few digits, the smallest recipe, one process."""

import csv
import dataclasses
import json
import pathlib

import cv2
import pytest
import yaml

from schemas import outputs
from schemas.errors import UserError
from tests.output_files import check_files
from trainer import recipes
from trainer.job import training
from trainer.loop.actions.preemption import PreemptedError
from trainer.loop.training_loop import Trainer
from trainer.recipes.parts.search_space import Choice, Real
from trainer.train_options import TrainOptions
from trainer.tuning import tune_job
from trainer.tuning.study import JOURNAL
from trainer.tuning.tune_options import TuneOptions

SPACE = {"learning_rate": Real(1e-4, 1e-2, log=True), "batch": Choice((20, 40, 401))}


@pytest.fixture(autouse=True)
def small(monkeypatch, few_digits):
    """Every recipe has the small space, every source the few digits."""
    load = recipes.load
    monkeypatch.setattr(recipes, "load", lambda name: dataclasses.replace(load(name), search=SPACE))
    monkeypatch.setattr(training, "read_data", lambda *_, **__: few_digits)


def options(folder, **more) -> TuneOptions:
    changes = {"epochs": 2, "replicas": 1, "trials": 2} | more
    return TuneOptions(recipe="dense-128", data="sample", output=folder, **changes)


def rows(folder) -> list[dict]:
    with (folder / "trials.csv").open() as opened:
        return list(csv.DictReader(opened))


@pytest.mark.slow
def test_a_search_leaves_a_table_a_picture_and_the_best_settings(tmp_path, capsys, few_digits, one_replica):
    summary = tune_job.run(options(tmp_path))
    check_files(tmp_path, outputs.TUNED)
    found = rows(tmp_path)
    assert len(found) == 2
    # The 400 training images do not fill a batch of 401.
    assert {row["batch"] for row in found} <= {"20", "40"}
    assert cv2.imread(str(tmp_path / "trials.png")).shape[0] > 300
    best = max(found, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    chosen = yaml.safe_load((tmp_path / "best.yaml").read_text())["train"]
    assert (chosen["recipe"], chosen["epochs"]) == ("dense-128", 2)
    assert chosen["learning-rate"] == pytest.approx(float(best["learning_rate"]))
    assert str(chosen["batch"]) == best["batch"]
    assert "2 (0 pruned, 0 failed)" in summary
    printed = capsys.readouterr().out
    assert "trial 2/2" in printed
    # A trial has one number wherever it is named.
    assert [row["number"] for row in found] == ["1", "2"]
    assert f"trial {best['number']}/2: val accuracy {float(best['val_accuracy']):.2%}" in printed
    assert f"trial {best['number']}, val accuracy" in summary
    # They reach again what they have reached.
    flags = {name.replace("-", "_"): value for name, value in chosen.items()} | {"data": "sample"}
    again = TrainOptions(output="run", **flags)
    trainer = Trainer(
        training.effective_recipe(again, one_replica), few_digits, strategy=one_replica, seed=again.seed
    )
    assert list(trainer.epochs())[-1].val_accuracy == pytest.approx(float(best["val_accuracy"]))


@pytest.mark.slow
def test_processes_train_the_trials_of_one_search(tmp_path, capfd):
    # They read the real sample, with the recipe's own space.
    summary = tune_job.run(options(tmp_path, epochs=1, trials=3, parallel=2))
    check_files(tmp_path, outputs.TUNED)
    assert [row["number"] for row in rows(tmp_path)] == ["1", "2", "3"]
    assert len({row["learning_rate"] for row in rows(tmp_path)}) == 3
    assert "trials         3 (0 pruned, 0 failed)" in summary
    printed = capfd.readouterr().out
    assert all(printed.count(f"trial {number}/3: val accuracy") == 1 for number in (1, 2, 3))
    # Nothing is left to train, and another machine that joins ends at once.
    before = (tmp_path / "trials.csv").read_bytes()
    tune_job.run(options(tmp_path, epochs=1, trials=3, parallel=2, resume=True))
    assert (tmp_path / "trials.csv").read_bytes() == before


@pytest.mark.slow
def test_a_preempted_search_resumes(tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    tune_job.run(options(whole))
    epochs, calls = Trainer.epochs, []

    def told(self):
        for epoch in epochs(self):
            calls.append(epoch)
            if len(calls) == 4:  # in the second trial, after its first epoch and before its last
                raise PreemptedError("stopped")
            yield epoch

    monkeypatch.setattr(Trainer, "epochs", told)
    parts = tmp_path / "parts"
    with pytest.raises(PreemptedError, match=r"Resume with: digitmill tune .* --resume$"):
        tune_job.run(options(parts))
    assert len(rows(parts)) == 1
    tune_job.run(options(parts, resume=True))
    assert [row["number"] for row in rows(parts)] == ["1", "2"]
    # The trial that was cut off had the settings that it has in an undisturbed search.
    assert [rows(parts)[n]["learning_rate"] for n in (0, 1)] == [
        rows(whole)[n]["learning_rate"] for n in (0, 1)
    ]
    assert rows(parts)[1]["val_accuracy"] == rows(whole)[1]["val_accuracy"]
    before = (parts / "trials.csv").read_bytes()
    tune_job.run(options(parts, resume=True))
    assert (parts / "trials.csv").read_bytes() == before


@pytest.mark.slow
def test_a_diverging_trial_fails_and_the_search_continues(tmp_path, monkeypatch):
    monkeypatch.setitem(SPACE, "learning_rate", Real(1e17, 1e18))
    summary = tune_job.run(options(tmp_path))
    assert [row["state"] for row in rows(tmp_path)] == ["failed", "failed"]
    assert "2 failed" in summary
    assert not (tmp_path / "best.yaml").exists()


@pytest.mark.slow
def test_a_trial_that_falls_behind_is_pruned(tmp_path, monkeypatch):
    from trainer.tuning.study import Study

    monkeypatch.setattr(Study, "prune", lambda self, trial, epoch: trial.number == 1)
    tune_job.run(options(tmp_path, epochs=3))
    assert [(row["state"], row["epochs"]) for row in rows(tmp_path)] == [
        ("complete", "3"),
        ("pruned", "1"),
    ]


@pytest.mark.slow
def test_every_epoch_is_reported_to_vertex_ai(tmp_path, monkeypatch):
    file = tmp_path / "metrics" / "output.metrics"
    monkeypatch.setenv("CLOUD_ML_HP_METRIC_FILE", str(file))
    monkeypatch.setenv("CLOUD_ML_TRIAL_ID", "7")
    tune_job.run(options(tmp_path / "study", trials=1))
    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["trial"], line["global_step"]) for line in told] == [("7", "1"), ("7", "2")]
    assert float(told[-1]["val_accuracy"]) == float(rows(tmp_path / "study")[0]["val_accuracy"])


def test_data_without_held_out_images_are_refused(tmp_path, monkeypatch, few_digits):
    digits = dataclasses.replace(few_digits, validation=None)
    monkeypatch.setattr(training, "read_data", lambda *_, **__: digits)
    with pytest.raises(UserError, match="tuning needs held-out images"):
        tune_job.run(options(tmp_path))


def test_the_flags_are_those_of_the_attempt_that_began_the_search(tmp_path, monkeypatch, few_digits):
    digits = dataclasses.replace(few_digits, validation=None)
    monkeypatch.setattr(training, "read_data", lambda *_, **__: digits)

    def trials_after(trials: int, **more) -> int:
        with pytest.raises(UserError, match="tuning needs held-out images"):
            tune_job.run(options(tmp_path, trials=trials, **more))
        return yaml.safe_load((tmp_path / "run.yaml").read_text())["tune"]["trials"]

    assert trials_after(2) == 2
    assert trials_after(3) == 3
    (tmp_path / JOURNAL).touch()
    assert trials_after(4, resume=True) == 3


def test_several_machines_are_refused(tmp_path, monkeypatch):
    config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(UserError, match="tuning runs on one machine"):
        tune_job.run(options(tmp_path))


@pytest.mark.parametrize("place", ["gs://bucket/tuning", "s3://bucket/tuning"])
def test_a_bucket_is_refused_before_a_folder_of_its_name_is_made(place):
    with pytest.raises(UserError, match=f"invalid --output: '{place}'.*not on this machine's disk"):
        options(pathlib.Path(place))


def test_a_search_needs_a_trial(tmp_path):
    with pytest.raises(UserError, match="--trials"):
        options(tmp_path, trials=0)
