"""The study without a network: trials that are told whatever a test wants."""

import dataclasses
import multiprocessing

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from schemas.errors import UserError
from trainer.recipes.parts.search_space import Choice, Real, distributions
from trainer.run.history import Epoch
from trainer.tuning import study as module
from trainer.tuning.study import JOURNAL, Study, make_folder, read_trials
from trainer.tuning.trial_results import Trial

SPACE = distributions({"learning_rate": Real(1e-4, 1e-1, log=True), "batch": Choice((32, 64))})
IDENTITY = {"recipe": "cnn", "data": "d", "settings": {"epochs": 3}}


MANY = 1000


def ask(study: Study, *, trials: int = MANY):
    trial = study.ask(SPACE, trials=trials)
    assert trial is not None
    return trial


def epoch(number: int, accuracy: float) -> Epoch:
    return Epoch(number, 0.5, 0.8, 0.4, accuracy, 1.0, 1000.0)


def finish(study: Study, trial, accuracy: float | None = 0.9, state: str = "complete") -> None:
    study.tell(
        trial, Trial(study.number(trial), state, dict(trial.params), accuracy, 0.4, epochs=3, seconds=1.0)
    )


def test_trials_are_read_back(tmp_path):
    study = Study(tmp_path, IDENTITY, seed=1)
    for accuracy, state in ((0.9, "complete"), (None, "failed"), (0.4, "pruned")):
        trial = ask(study)
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
    finish(study, ask(study))
    cut_off = ask(study)
    study.prune(cut_off, epoch(1, 0.5))
    study.close()
    again = Study(tmp_path, IDENTITY, seed=1)
    assert len(again.trials()) == 1
    repeated = ask(again)
    assert repeated.params == cut_off.params
    assert again.number(repeated) == study.number(cut_off) == 2
    finish(again, repeated)
    assert ask(again).params != cut_off.params


def test_a_resumed_search_proposes_what_it_would_have(tmp_path):
    proposed = []
    for folder, times in (("parts", 4), ("whole", 1)):
        (tmp_path / folder).mkdir()
        for _ in range(times):
            study = Study(tmp_path / folder, IDENTITY, seed=1)
            for _ in range(4 // times):
                trial = ask(study)
                proposed.append(trial.params)
                finish(study, trial)
            study.close()
    assert proposed[:4] == proposed[4:]
    assert len({params["learning_rate"] for params in proposed}) == 4


def test_a_search_proposes_the_same_after_a_trial_was_killed(tmp_path):
    proposed = []
    for folder, killed in (("killed", True), ("whole", False)):
        (tmp_path / folder).mkdir()
        study = Study(tmp_path / folder, IDENTITY, seed=1)
        finish(study, ask(study))
        if killed:
            ask(study)
            study.close()
            study = Study(tmp_path / folder, IDENTITY, seed=1)
        for _ in range(3):
            trial = ask(study)
            proposed.append(trial.params)
            finish(study, trial)
        study.close()
    assert proposed[:3] == proposed[3:]


def test_one_seed_proposes_the_same(tmp_path):
    proposed = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        study = Study(tmp_path / name, IDENTITY, seed=3)
        for _ in range(3):
            trial = ask(study)
            proposed.append(trial.params)
            finish(study, trial)
    assert proposed[:3] == proposed[3:]


def test_trials_below_the_median_are_pruned(tmp_path):
    study = Study(tmp_path, IDENTITY, seed=1)
    for accuracy in (0.80, 0.82, 0.84, 0.86):
        trial = ask(study)
        # The first trials have nothing to be compared with.
        assert not any(study.prune(trial, epoch(number, accuracy)) for number in (1, 2, 3))
        finish(study, trial, accuracy)
    behind, leading = ask(study), ask(study)
    assert not study.prune(behind, epoch(1, 0.5))
    assert study.prune(behind, epoch(2, 0.5))
    assert not any(study.prune(leading, epoch(number, 0.9)) for number in (1, 2, 3))


@pytest.mark.parametrize("torn", [b'{"op_code":4,"wor', b"{", b""])
def test_a_torn_last_line_is_dropped(tmp_path, torn):
    study = Study(tmp_path, IDENTITY, seed=1)
    finish(study, ask(study))
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(torn)
    for trials in (1, 2):
        again = Study(tmp_path, IDENTITY, seed=1)
        assert len(again.trials()) == trials
        finish(again, ask(again))
        again.close()


@pytest.mark.parametrize(
    ("field", "value"), [("recipe", "dense-128"), ("data", "e"), ("settings", {"epochs": 4})]
)
def test_another_search_is_refused_with_the_difference(tmp_path, field, value):
    Study(tmp_path, IDENTITY, seed=1)
    with pytest.raises(UserError, match=f"with other options: '{field}'"):
        Study(tmp_path, {**IDENTITY, field: value}, seed=1)


def test_a_folder_with_a_search_needs_resume(tmp_path):
    make_folder(tmp_path / "new", resume=False)
    Study(tmp_path / "new", IDENTITY, seed=1)
    with pytest.raises(UserError, match="--resume"):
        make_folder(tmp_path / "new", resume=False)
    make_folder(tmp_path / "new", resume=True)


def test_a_journal_of_an_earlier_version_is_continued(tmp_path):
    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
    old = optuna.create_study(study_name="digitmill", storage=storage, direction="maximize")
    old.set_user_attr("identity", IDENTITY)
    for _ in range(2):
        trial = old.ask(SPACE)
        trial.set_user_attr("report", {"val_accuracy": 0.9, "val_loss": 0.4, "epochs": 3, "seconds": 1.0})
        old.tell(trial, 0.9)
    cut_off = old.ask(SPACE)
    study = Study(tmp_path, IDENTITY, seed=1)
    assert [trial.number for trial in study.trials()] == [1, 2]
    repeated = ask(study)
    assert (study.number(repeated), repeated.params) == (3, cut_off.params)


def test_no_trial_begins_once_enough_have_finished_or_run(tmp_path):
    first, second = (Study(tmp_path, IDENTITY, seed=1) for _ in range(2))
    done = ask(first, trials=2)
    finish(first, done)
    running = ask(first, trials=2)
    assert second.ask(SPACE, trials=2) is None
    # One more is asked for: it is another trial, of another number.
    more = ask(second, trials=3)
    assert more.params != running.params
    assert [second.number(trial) for trial in (done, running, more)] == [1, 2, 3]


def _train_some(folder, trials: int) -> None:
    study = Study(folder, IDENTITY, seed=1)
    while (trial := study.ask(SPACE, trials=trials)) is not None:
        study.prune(trial, epoch(1, 0.5))
        finish(study, trial)
    study.close()


def _ask_and_wait(folder, asked, leave) -> None:
    study = Study(folder, IDENTITY, seed=1)
    asked.put(ask(study).params)
    leave.wait(60)


@pytest.mark.slow
def test_processes_share_the_trials_of_a_search(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_train_some, args=(tmp_path, 12)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    found = read_trials(tmp_path)
    assert [trial.number for trial in found] == list(range(1, 13))
    assert len({trial.settings["learning_rate"] for trial in found}) == 12
    # No process leaves its lock behind.
    assert {path.name for path in tmp_path.iterdir()} == {JOURNAL, "study.lock"}


@pytest.mark.slow
def test_a_trial_goes_on_while_its_process_lives_and_begins_again_when_it_is_killed(tmp_path):
    context = multiprocessing.get_context("spawn")
    asked, leave = context.Queue(), context.Event()
    other = context.Process(target=_ask_and_wait, args=(tmp_path, asked, leave))
    other.start()
    try:
        params = asked.get(timeout=60)
        study = Study(tmp_path, IDENTITY, seed=1)
        mine = ask(study)
        assert mine.params != params
        finish(study, mine)
    finally:
        other.kill()
        other.join(60)
    taken_over = ask(study)
    assert (study.number(taken_over), taken_over.params) == (1, params)


def test_an_unwritable_folder_is_a_one_line_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot write --output"),
    ):
        make_folder(tmp_path / "file" / "study", resume=False)


def test_every_state_has_one_of_optunas():
    assert {"complete", "pruned", "failed"} == set(module._STATES.values())
    assert {field.name for field in dataclasses.fields(Trial)} >= {"val_accuracy", "epochs"}
