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
    """Processes of one job, ended with the test; `only` starts some of them."""

    def __init__(self, folder: pathlib.Path, command: list[str], *, only: tuple[int, ...] = (0, 1)) -> None:
        self._hosts = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self._folder = folder
        self._command = command
        self.processes: dict[int, subprocess.Popen] = {}
        for index in only:
            self.start(index)

    def start(self, index: int, *more: str) -> subprocess.Popen:
        config = {"cluster": {"worker": self._hosts}, "task": {"type": "worker", "index": index}}
        with (self._folder / f"{index}.log").open("a") as log:
            self.processes[index] = subprocess.Popen(
                [sys.executable, *self._command, *more],
                cwd=ROOT,
                env=os.environ | {"TF_CONFIG": json.dumps(config), "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self.processes[index]

    def wait_for(self, text: str, *, index: int = 0) -> None:
        """Wait until a worker has printed a text."""
        deadline = time.monotonic() + 600
        while text not in self.printed(index):
            assert time.monotonic() < deadline, self.printed(index)
            time.sleep(0.05)

    def printed(self, index: int) -> str:
        return (self._folder / f"{index}.log").read_text()

    def finish(self) -> None:
        for index, process in self.processes.items():
            assert process.wait(timeout=600) == 0, self.printed(index)


@pytest.fixture
def workers(tmp_path):
    made = []

    def make(*command: str, **settings) -> Workers:
        made.append(Workers(tmp_path, list(command), **settings))
        return made[0]

    yield make
    for job in made:
        for process in job.processes.values():
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


def wait_for_checkpoints(job: Workers, output: pathlib.Path) -> None:
    deadline = time.monotonic() + 600
    while len(Checkpoints(LocalPlace(output / "checkpoints")).steps()) < 3:
        assert time.monotonic() < deadline, job.printed(0)
        time.sleep(0.02)


def command(output: pathlib.Path, *more: str) -> list[str]:
    return ["-m", "trainer.task", "--recipe", "dense-128", "--batch", "100", "--output", str(output), *more]


@pytest.mark.slow
def test_a_killed_worker_returns_while_its_peer_waits_and_only_the_chief_writes(workers, tmp_path):
    output = tmp_path / "run"
    job = workers(*command(output, "--epochs", "8", "--checkpoint-steps", "10"))
    wait_for_checkpoints(job, output)
    job.processes[1].send_signal(signal.SIGKILL)
    job.processes[1].wait()
    job.start(1, "--resume")
    job.finish()
    assert "another worker of this job died: " in job.printed(0)
    assert "restarting from the newest checkpoint (1 of 20 restarts)" in job.printed(0)
    assert "resumed after step" in job.printed(0)
    card = ModelCard.from_json((output / "bundle" / "model_card.json").read_text())
    assert (card.replicas, card.epochs, sum(card.class_counts)) == (2, 8, 4_000)
    assert card.test_accuracy.images == 500
    assert card.test_accuracy.value > 0.85
    assert (output / "history.csv").read_text().count("\n") == 9
    # The chief speaks, the other worker is silent.
    assert "test accuracy" in job.printed(0)
    assert "epoch" not in job.printed(1)
    assert len(list((output / "tensorboard").iterdir())) == 2
    # Workers that end together do not complain of each other.
    assert "crashed" not in job.printed(0).rpartition("test accuracy")[2]

    # The chief begins again, and a worker comes too late.
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    job.start(0, "--resume")
    job.start(1)
    job.finish()
    assert f"the run is finished already: {output / 'bundle'}" in job.printed(0)
    assert "the run is finished already" in job.printed(1)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_killed_chief_returns_and_the_run_is_finished(workers, tmp_path):
    output = tmp_path / "run"
    job = workers(*command(output, "--epochs", "8", "--checkpoint-steps", "10"))
    wait_for_checkpoints(job, output)
    job.processes[0].send_signal(signal.SIGKILL)
    job.processes[0].wait()
    job.start(0, "--resume")
    job.finish()
    assert "another worker of this job died: " in job.printed(1)
    assert "resumed after step" in job.printed(0)
    assert ModelCard.from_json((output / "bundle" / "model_card.json").read_text()).epochs == 8


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_waits_for_others_to_start_can_be_stopped(workers, tmp_path, index, sent, code):
    job = workers(*command(tmp_path / "run"), only=(index,))
    job.wait_for("waiting for", index=index)
    job.processes[index].send_signal(sent)
    assert job.processes[index].wait(timeout=30) == code
    assert "digitmill: stopped. Resume with: digitmill train" in job.printed(index)


# Worker 1 reads for very long, while the chief waits in a collective operation for what it has read.
SLOW_READER = """
import os, sys, time
from trainer.job import training
read, index = training.read_data, __import__("json").loads(os.environ["TF_CONFIG"])["task"]["index"]
def slow(*arguments, **named):
    found = read(*arguments, **named)
    print("has read", flush=True)
    if index:
        time.sleep(600)
    return found
training.read_data = slow
from digitmill.commands import main
from trainer.task import train
main(train, sys.argv[1:])
"""


@pytest.mark.slow
def test_a_worker_that_waits_for_what_others_read_can_be_stopped(workers, tmp_path):
    arguments = command(tmp_path / "run")[2:]
    job = workers("-c", SLOW_READER, *arguments)
    job.wait_for("has read")
    job.wait_for("has read", index=1)
    time.sleep(1)
    job.processes[0].send_signal(signal.SIGTERM)
    assert job.processes[0].wait(timeout=60) == 143
    assert "digitmill: stopped by a signal while waiting for other workers. Resume" in job.printed(0)


@pytest.mark.slow
def test_workers_with_other_settings_are_refused_in_one_line(workers, tmp_path):
    job = workers(*command(tmp_path / "run"), only=(0,))
    job.start(1, "--epochs", "7")
    for index in range(2):
        assert job.processes[index].wait(timeout=600) == 2, job.printed(index)
        said = [line for line in job.printed(index).splitlines() if line.startswith("digitmill: ")]
        assert len(said) == 1
        assert "the workers differ in --epochs: worker 1 has 7, the chief has: None." in said[0]


@pytest.mark.slow
def test_a_sigterm_to_one_worker_saves_and_ends_all(workers, tmp_path):
    output = tmp_path / "run"
    job = workers(*command(output, "--epochs", "500", "--checkpoint-steps", "10"))
    wait_for_checkpoints(job, output)
    job.processes[1].send_signal(signal.SIGTERM)
    assert [job.processes[index].wait(timeout=600) for index in range(2)] == [143, 143]
    assert f"saved to {output}" in job.printed(0)
    assert "the chief saves the checkpoint. Resume with: " in job.printed(1)
    assert "None" not in job.printed(1)


# The first export fails, in the process that writes it.
FAILING_EXPORT = """
import pathlib, sys
from trainer.bundle import export
write, failed = export.write_bundle, pathlib.Path(sys.argv[1])
def fail(*arguments, **named):
    if failed.exists():
        return write(*arguments, **named)
    failed.touch()
    raise export.ExportError("model.tflite", difference=0.5, allowed=0.001)
export.write_bundle = fail
from digitmill.commands import main
from trainer.task import train
main(train, sys.argv[2:])
"""


@pytest.mark.slow
def test_after_a_failed_export_resume_exports_alone(workers, tmp_path):
    output = tmp_path / "run"
    job = workers("-c", FAILING_EXPORT, str(tmp_path / "failed"), *command(output, "--epochs", "2")[2:])
    assert [job.processes[index].wait(timeout=600) for index in range(2)] == [2, 2], job.printed(0)
    assert "is trained and its checkpoint is kept, but it could not be exported" in job.printed(0)
    assert "the chief could not finish the run; its log says why" in job.printed(1)
    history = (output / "history.csv").read_text()
    assert job.printed(0).count("epoch 2/2") == 1
    for index in range(2):
        job.start(index, "--resume")
    job.finish()
    assert (output / "bundle" / "model_card.json").exists()
    assert (output / "history.csv").read_text() == history
    assert job.printed(0).count("epoch 2/2") == 1
