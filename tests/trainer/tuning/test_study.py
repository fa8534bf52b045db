"""The study without a network: trials that are told whatever a test wants."""

import dataclasses
import multiprocessing

import pytest

from schemas.errors import UserError
from trainer.recipes.parts.search_space import Choice, Real, distributions
from trainer.run.history import Epoch
from trainer.tuning import study as module
from trainer.tuning.study import JOURNAL, Study, locked_folder
from trainer.tuning.trial_results import Trial

SPACE = distributions({"learning_rate": Real(1e-4, 1e-1, log=True), "batch": Choice((32, 64))})
IDENTITY = {"recipe": "cnn", "data": "d", "settings": {"epochs": 3}}


def epoch(number: int, accuracy: float) -> Epoch:
    return Epoch(number, 0.5, 0.8, 0.4, accuracy, 1.0, 1000.0)


def finish(study: Study, trial, accuracy: float | None = 0.9, state: str = "complete") -> None:
    study.tell(trial, Trial(trial.number, state, dict(trial.params), accuracy, 0.4, epochs=3, seconds=1.0))


def test_trials_are_read_back(tmp_path):
    study = Study(tmp_path, IDENTITY, seed=1)
    for accuracy, state in ((0.9, "complete"), (None, "failed"), (0.4, "pruned")):
        trial = study.ask(SPACE)
        if accuracy is not None:
            study.prune(trial, epoch(1, accuracy))
        finish(study, trial, accuracy, state)
    again = Study(tmp_path, IDENTITY, seed=1).trials()
    assert again == study.trials()
    assert [(trial.state, trial.val_accuracy) for trial in again] == [
        ("complete", 0.9),
        ("failed", None),
        ("pruned", 0.4),
    ]
    assert all(set(trial.settings) == {"learning_rate", "batch"} for trial in again)


def test_a_killed_trial_is_restarted_with_its_settings(tmp_path):
    study = Study(tmp_path, IDENTITY, seed=1)
    finish(study, study.ask(SPACE))
    cut_off = study.ask(SPACE)
    study.prune(cut_off, epoch(1, 0.5))
    again = Study(tmp_path, IDENTITY, seed=1)
    assert len(again.trials()) == 1
    repeated = again.ask(SPACE)
    assert repeated.params == cut_off.params
    finish(again, repeated)
    assert again.ask(SPACE).params != cut_off.params


def test_a_resumed_search_proposes_new_settings(tmp_path):
    seen = set()
    for _ in range(4):
        study = Study(tmp_path, IDENTITY, seed=1)
        trial = study.ask(SPACE)
        seen.add(trial.params["learning_rate"])
        finish(study, trial)
    assert len(seen) == 4


def test_one_seed_proposes_the_same(tmp_path):
    proposed = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        study = Study(tmp_path / name, IDENTITY, seed=3)
        for _ in range(3):
            trial = study.ask(SPACE)
            proposed.append(trial.params)
            finish(study, trial)
    assert proposed[:3] == proposed[3:]


def test_trials_below_the_median_are_pruned(tmp_path):
    study = Study(tmp_path, IDENTITY, seed=1)
    for accuracy in (0.80, 0.82, 0.84, 0.86):
        trial = study.ask(SPACE)
        # The first trials have nothing to be compared with.
        assert not any(study.prune(trial, epoch(number, accuracy)) for number in (1, 2, 3))
        finish(study, trial, accuracy)
    behind, leading = study.ask(SPACE), study.ask(SPACE)
    assert not study.prune(behind, epoch(1, 0.5))
    assert study.prune(behind, epoch(2, 0.5))
    assert not any(study.prune(leading, epoch(number, 0.9)) for number in (1, 2, 3))


@pytest.mark.parametrize("torn", [b'{"op_code":4,"wor', b"{", b""])
def test_a_torn_last_line_is_dropped(tmp_path, torn):
    study = Study(tmp_path, IDENTITY, seed=1)
    finish(study, study.ask(SPACE))
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(torn)
    for trials in (1, 2):
        again = Study(tmp_path, IDENTITY, seed=1)
        assert len(again.trials()) == trials
        finish(again, again.ask(SPACE))


@pytest.mark.parametrize(
    ("field", "value"), [("recipe", "dense-128"), ("data", "e"), ("settings", {"epochs": 4})]
)
def test_another_search_is_refused_with_the_difference(tmp_path, field, value):
    Study(tmp_path, IDENTITY, seed=1)
    with pytest.raises(UserError, match=f"with other options: '{field}'"):
        Study(tmp_path, {**IDENTITY, field: value}, seed=1)


def test_a_folder_with_a_search_needs_resume(tmp_path):
    with locked_folder(tmp_path / "new", resume=False):
        Study(tmp_path / "new", IDENTITY, seed=1)
    with pytest.raises(UserError, match="--resume"), locked_folder(tmp_path / "new", resume=False):
        pass
    with locked_folder(tmp_path / "new", resume=True):
        pass


def _hold(folder, held_now, leave) -> None:
    with locked_folder(folder, resume=True):
        held_now.set()
        leave.wait(60)


@pytest.mark.slow
def test_two_processes_do_not_share_a_search(tmp_path):
    context = multiprocessing.get_context("spawn")
    held_now, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held_now, leave))
    other.start()
    try:
        assert held_now.wait(60)
        with (
            pytest.raises(UserError, match="another process is running this search"),
            locked_folder(tmp_path, resume=True),
        ):
            pass
    finally:
        leave.set()
        other.join(60)
    assert other.exitcode == 0
    with locked_folder(tmp_path, resume=True):
        pass


def test_an_unwritable_folder_is_a_one_line_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot write --output"),
        locked_folder(tmp_path / "file" / "study", resume=False),
    ):
        pass


def test_every_state_has_one_of_optunas():
    assert {"complete", "pruned", "failed"} == set(module._STATES.values())
    assert {field.name for field in dataclasses.fields(Trial)} >= {"val_accuracy", "epochs"}
