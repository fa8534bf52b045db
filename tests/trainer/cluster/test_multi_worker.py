"""Two real worker processes on this machine, as TF_CONFIG starts them."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from schemas.model.model_card import ModelCard
from tests.gcs_emulator import free_port
from trainer.run.checkpoints import Checkpoints
from trainer.run.run_location import LocalPlace

ROOT = pathlib.Path(__file__).parents[3]

WEIGHTS = """
import dataclasses, hashlib, sys
from trainer.cluster.strategy import make_strategy, worker_index, local_replicas
strategy = make_strategy(None)
import numpy as np
from trainer import recipes
from trainer.data.sources.embedded_sample import digits
from trainer.data.splits import Digits
from trainer.loop.training_loop import Trainer
whole = digits()
# Unequal shares: the workers must agree on the number of steps.
mine = whole.train.take(np.arange(1000) if worker_index(strategy) == 0 else np.arange(1000, 2800))
few = Digits("few", mine, whole.validation.take(np.arange(0, 500, 7)), whole.test)
recipe = dataclasses.replace(recipes.load("dense-512-256-128"), epochs=2, batch=100, ema=0.9, patience=1)
trainer = Trainer(recipe, few, strategy=strategy, seed=3)
epochs = list(trainer.epochs())
digest = hashlib.sha256(b"".join(weight.tobytes() for weight in trainer.model.get_weights())).hexdigest()
print("result", worker_index(strategy), strategy.num_replicas_in_sync, trainer.steps_per_epoch, digest,
      trainer.evaluate(few.validation).accuracy.images, trainer.evaluate(few.validation).loss)
"""


class Workers:
    """Processes of one job, ended with the test."""

    def __init__(self, folder: pathlib.Path, command: list[str]) -> None:
        self._hosts = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self._folder = folder
        self._command = command
        self.processes = [self.start(0), self.start(1)]

    def start(self, index: int, *more: str) -> subprocess.Popen:
        config = {"cluster": {"worker": self._hosts}, "task": {"type": "worker", "index": index}}
        with (self._folder / f"{index}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, *self._command, *more],
                cwd=ROOT,
                env=os.environ | {"TF_CONFIG": json.dumps(config), "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def printed(self, index: int) -> str:
        return (self._folder / f"{index}.log").read_text()

    def finish(self) -> None:
        for index, process in enumerate(self.processes):
            assert process.wait(timeout=240) == 0, self.printed(index)


@pytest.fixture
def workers(tmp_path):
    made = []

    def make(*command: str) -> Workers:
        made.append(Workers(tmp_path, list(command)))
        return made[0]

    yield make
    for job in made:
        for process in job.processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_two_workers_end_with_equal_weights_and_count_every_image(workers):
    job = workers("-c", WEIGHTS)
    job.finish()
    first, second = (
        next(line for line in job.printed(index).splitlines() if line.startswith("result ")).split()
        for index in range(2)
    )
    assert (first[1], second[1]) == ("0", "1")
    # The lesser share of 1,000 images makes the steps: 50 a worker and step.
    assert first[2:4] == ["2", "20"]
    assert first[2:] == second[2:]
    assert first[5] == "72"


@pytest.mark.slow
def test_a_killed_worker_returns_while_its_peer_waits_and_only_the_chief_writes(workers, tmp_path):
    output = tmp_path / "run"
    arguments = ["--recipe", "dense-128", "--epochs", "25", "--batch", "100", "--output", str(output)]
    job = workers("-m", "trainer.task", *arguments, "--checkpoint-steps", "10")
    deadline = time.monotonic() + 120
    while len(Checkpoints(LocalPlace(output / "checkpoints")).steps()) < 3:
        assert time.monotonic() < deadline, job.printed(0)
        time.sleep(0.02)
    job.processes[1].send_signal(signal.SIGKILL)
    job.processes[1].wait()
    job.processes[1] = job.start(1, "--resume")
    job.finish()
    assert "another worker of this job died; restarting" in job.printed(0)
    assert "resumed after step" in job.printed(0)
    card = ModelCard.from_json((output / "bundle" / "model_card.json").read_text())
    assert (card.replicas, card.epochs, sum(card.class_counts)) == (2, 25, 4_000)
    assert card.test_accuracy.images == 500
    assert card.test_accuracy.value > 0.85
    assert (output / "history.csv").read_text().count("\n") == 26
    # The chief speaks, the other worker is silent.
    assert "test accuracy" in job.printed(0)
    assert "epoch" not in job.printed(1)
    assert len(list((output / "tensorboard").iterdir())) == 2
