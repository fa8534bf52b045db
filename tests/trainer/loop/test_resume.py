"""A training that was stopped goes on as if it had not been: to the bit."""

import dataclasses
import functools
import itertools
import os
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from schemas.errors import UserError
from trainer import recipes
from trainer.loop import training_loop
from trainer.loop.actions.preemption import PreemptedError
from trainer.loop.actions.watchdog import DivergedError
from trainer.loop.steps import StepRunner
from trainer.loop.training_loop import Trainer
from trainer.run import checkpoints
from trainer.run.checkpoints import CheckpointOptions, Checkpoints
from trainer.run.run_location import LocalPlace

ROOT = pathlib.Path(__file__).parents[3]
REPLICAS = pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])


def recipe_of(**changes):
    """Batch normalization, dropout, Adam, averaged weights: everything that has a state."""
    changes = {"epochs": 3, "batch": 40, "ema": 0.9, "patience": 2, "schedule": "warmup-cosine"} | changes
    return dataclasses.replace(recipes.load("dense-512-256-128"), **changes)


def trainer_of(place, digits, strategy, *, every=None, identity=None, **changes) -> Trainer:
    options = CheckpointOptions(Checkpoints(LocalPlace(place), keep=100), every, identity or {})
    return Trainer(recipe_of(**changes), digits, strategy=strategy, seed=5, checkpointing=options)


def final(place: pathlib.Path) -> checkpoints.Checkpoint:
    store = Checkpoints(LocalPlace(place))
    found = store.load_newest()
    assert found is not None
    return found


def assert_same(one: checkpoints.Checkpoint, other: checkpoints.Checkpoint) -> None:
    assert one.step == other.step
    assert one.arrays.keys() == other.arrays.keys()
    for name, value in one.arrays.items():
        assert value.tobytes() == other.arrays[name].tobytes(), name
    assert losses(one) == losses(other)


def losses(checkpoint: checkpoints.Checkpoint) -> list[tuple]:
    return [
        (epoch["loss"], epoch["accuracy"], epoch["val_loss"], epoch["val_accuracy"])
        for epoch in checkpoint.record["history"]
    ]


@pytest.fixture(scope="module")
def undisturbed(few_digits, tmp_path_factory, one_replica, two_replicas):
    """Return the place of a training that ran from beginning to end under a strategy."""
    strategies = {"one_replica": one_replica, "two_replicas": two_replicas}

    @functools.cache
    def place(name: str) -> pathlib.Path:
        folder = tmp_path_factory.mktemp(name)
        list(trainer_of(folder, few_digits, strategies[name]).epochs())
        return folder

    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    ("replicas", "step"),
    [
        ("one_replica", 4),
        *(
            pytest.param(replicas, step, marks=pytest.mark.slow)
            for replicas, step in (("one_replica", 10), ("two_replicas", 10), ("two_replicas", 27))
        ),
    ],
)
def test_a_resumed_training_ends_with_the_same_bits(
    replicas, step, undisturbed, few_digits, tmp_path, request
):
    strategy = request.getfixturevalue(replicas)
    stopped = trainer_of(tmp_path, few_digits, strategy, every=step)
    stopped._scheduler.num_steps = 3
    for _ in stopped.epochs():
        if stopped.state.step >= step:
            break
    found = Checkpoints(LocalPlace(tmp_path)).load(step)
    for other in set(Checkpoints(LocalPlace(tmp_path)).steps()) - {step}:
        (tmp_path / checkpoints.file_name(other)).unlink()
    resumed = trainer_of(tmp_path, few_digits, strategy)
    resumed.restore(found)
    assert resumed.state.step == step
    assert len(list(resumed.epochs())) == 3 - step // 10
    assert_same(final(undisturbed(replicas)), final(tmp_path))


@pytest.mark.slow
@REPLICAS
def test_sigterm_saves_within_the_epoch_and_nothing_is_lost(
    replicas, undisturbed, few_digits, tmp_path, request, monkeypatch
):
    strategy = request.getfixturevalue(replicas)
    monkeypatch.setattr(training_loop, "BLOCK_STEPS", 1)
    trainer = trainer_of(tmp_path, few_digits, strategy)
    run, calls = StepRunner.run, itertools.count()

    def interrupted(*arguments, **named):
        if next(calls) == 13:
            os.kill(os.getpid(), signal.SIGTERM)
        return run(*arguments, **named)

    monkeypatch.setattr(StepRunner, "run", interrupted)
    with pytest.raises(PreemptedError, match=r"saved to .*step-.*npz$"):
        list(trainer.epochs())
    assert 10 < trainer.state.step < 20
    resumed = trainer_of(tmp_path, few_digits, strategy)
    resumed.restore(final(tmp_path))
    list(resumed.epochs())
    assert_same(final(undisturbed(replicas)), final(tmp_path))
    for ours, theirs in zip(resumed.model.get_weights(), resumed.state.best_weights, strict=True):
        assert (ours == theirs).all()


@pytest.mark.slow
def test_a_finished_training_has_nothing_left_to_do(undisturbed, few_digits, one_replica):
    trainer = trainer_of(undisturbed("one_replica"), few_digits, one_replica)
    trainer.restore(final(undisturbed("one_replica")))
    before = len(trainer.history)
    assert list(trainer.epochs()) == []
    assert len(trainer.history) == before


@pytest.mark.slow
def test_one_replica_resumes_what_two_began(undisturbed, few_digits, one_replica, tmp_path):
    trainer = trainer_of(tmp_path, few_digits, one_replica)
    trainer.restore(Checkpoints(LocalPlace(undisturbed("two_replicas"))).load(10))
    list(trainer.epochs())
    expected = final(undisturbed("two_replicas"))
    assert final(tmp_path).record["history"][0] == expected.record["history"][0]
    assert final(tmp_path).step == expected.step


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["seed", "batch", "digest"])
def test_the_checkpoint_of_another_training_is_refused(changed, few_digits, one_replica, tmp_path):
    identity = {"seed": 1, "batch": 40, "digest": "ab"}
    trainer = trainer_of(tmp_path, few_digits, one_replica, identity=identity, epochs=1)
    list(trainer.epochs())
    other = trainer_of(tmp_path, few_digits, one_replica, identity=identity | {changed: 7}, epochs=1)
    with pytest.raises(
        UserError, match=f"cannot resume: {changed} was .* now it is: 7. Give the same options"
    ):
        other.restore(final(tmp_path))


@pytest.mark.slow
def test_nan_weights_are_not_saved(few_digits, one_replica, tmp_path):
    trainer = trainer_of(tmp_path, few_digits, one_replica, every=4)
    list(itertools.islice(trainer.epochs(), 1))
    before = Checkpoints(LocalPlace(tmp_path)).steps()
    trainer.model.trainable_variables[0].assign(np.full((784, 512), np.nan))
    with pytest.raises(DivergedError, match=r"last good checkpoint is .*step-0000000008"):
        trainer.save()
    assert Checkpoints(LocalPlace(tmp_path)).steps() == before


def command(output: pathlib.Path, *more: str) -> list[str]:
    job = ["--recipe", "dense-512-256-128", "--batch", "100", "--epochs", "6", "--checkpoint-steps", "7"]
    return [sys.executable, "-m", "trainer.task", *job, "--output", str(output), *more]


def started(output: pathlib.Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        command(output, *more),
        cwd=ROOT,
        # Whoever sets it wants to see what TensorFlow says, and this session's own start does.
        env={name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_checkpoint(output: pathlib.Path, process: subprocess.Popen, *, step: int) -> None:
    deadline = time.monotonic() + 120
    while max(Checkpoints(LocalPlace(output / "checkpoints")).steps(), default=0) < step:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", ["1", "2"])
def test_a_killed_job_resumes_to_the_same_weights(replicas, tmp_path):
    alone = started(tmp_path / "alone", "--allow-cpu", "--replicas", replicas)
    killed = started(tmp_path / "killed", "--allow-cpu", "--replicas", replicas)
    wait_for_checkpoint(tmp_path / "killed", killed, step=random.choice([7, 35, 70, 126]))
    time.sleep(random.random() * 0.3)
    killed.kill()
    killed.communicate()
    resumed = started(tmp_path / "killed", "--allow-cpu", "--replicas", replicas, "--resume")
    printed, complained = resumed.communicate(timeout=200)
    assert resumed.returncode == 0, complained
    assert "resumed after step " in printed
    alone.communicate(timeout=200)
    assert alone.returncode == 0
    one, other = (final(tmp_path / name / "checkpoints") for name in ("alone", "killed"))
    assert one.step == 6 * 40
    assert_same(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_preempted_job_prints_the_command_that_resumes_it(number, tmp_path):
    process = started(tmp_path / "run", "--epochs", "500")
    wait_for_checkpoint(tmp_path / "run", process, step=7)
    process.send_signal(number)
    _, complained = process.communicate(timeout=100)
    assert process.returncode == 143
    (line,) = [line for line in complained.splitlines() if line.startswith("digitmill: ")]
    assert not re.search(r"\.(cc|cu|h):\d+\]", complained), "native libraries' chatter is kept back"
    _, _, goes_on = line.partition("Resume with: ")
    assert shlex.split(goes_on)[:2] == ["digitmill", "train"]
    assert {"--resume", "--output", str(tmp_path / "run")} <= set(shlex.split(goes_on))
    assert str(tmp_path / "run" / "checkpoints") in line
    again = subprocess.run(command(tmp_path / "run"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "Give --resume to continue" in again.stderr


@pytest.mark.slow
def test_a_training_with_pictures_that_are_no_digit_resumes(
    tmp_path, with_not_digits, one_replica, monkeypatch
):
    list(trainer_of(tmp_path / "whole", with_not_digits, one_replica, every=4).epochs())
    middle = Checkpoints(LocalPlace(tmp_path / "whole")).load(16)
    resumed = trainer_of(tmp_path / "resumed", with_not_digits, one_replica, every=4)
    resumed.restore(middle)
    list(resumed.epochs())
    assert_same(final(tmp_path / "whole"), final(tmp_path / "resumed"))
