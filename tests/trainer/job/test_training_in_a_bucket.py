"""Whole jobs whose run folder is in a bucket, as processes, with a service's variables."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from schemas.model.model_card import ModelCard

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def job(bucket, proxy):
    def start(*arguments: str, **environment: str) -> subprocess.Popen:
        address = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{proxy.port}"}
        return subprocess.Popen(
            [sys.executable, "-m", "trainer.task", "--recipe", "dense-128", *arguments],
            cwd=ROOT,
            env=os.environ | address | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finish(process: subprocess.Popen) -> str:
    printed, complained = process.communicate(timeout=200)
    assert process.returncode == 0, complained
    return printed


def test_a_run_in_a_bucket_is_terminated_and_resumed(job, bucket):
    output = f"{bucket.uri}/runs/one"
    arguments = ["--output", output, "--epochs", "40", "--checkpoint-steps", "50"]
    process = job(*arguments)
    deadline = time.monotonic() + 100
    while not any(name.startswith("runs/one/checkpoints/") for name in bucket.names()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, complained = process.communicate(timeout=60)
    assert process.returncode == 143
    assert f"{output}/checkpoints/step-" in complained
    assert not any("/bundle/" in name for name in bucket.names())
    printed = finish(job(*arguments, "--resume"))
    assert "resumed after step" in printed
    assert f"model bundle   {output}/bundle" in printed
    names = {name.removeprefix("runs/one/") for name in bucket.names()}
    assert {
        "history.csv",
        "report.html",
        "report/data.json",
        "report/confusion.png",
        "bundle/saved_model/saved_model.pb",
    } <= names
    assert sum(name.startswith("checkpoints/step-") for name in names) == 3
    assert any(name.startswith("tensorboard/events.") for name in names)
    assert bucket.read("runs/one/history.csv").count(b"\n") == 41
    card = ModelCard.from_json(bucket.read("runs/one/bundle/model_card.json").decode())
    for name, digest in card.files.items():
        assert hashlib.sha256(bucket.read(f"runs/one/bundle/{name}")).hexdigest() == digest
    again = job(*arguments)
    assert "holds a finished run" in again.communicate(timeout=60)[1]


def test_a_job_runs_on_vertex_ais_variables_alone(job, bucket, tmp_path):
    printed = finish(
        job(
            "--epochs",
            "1",
            AIP_MODEL_DIR=f"{bucket.uri}/job/model/",
            AIP_CHECKPOINT_DIR=f"/gcs/{bucket.name}/job/checkpoints/",
            AIP_TENSORBOARD_LOG_DIR=f"{bucket.uri}/job/logs/",
            TF_CONFIG=json.dumps(
                {"cluster": {"chief": ["127.0.0.1:2222"]}, "task": {"type": "chief", "index": 0}}
            ),
        )
    )
    assert f"{bucket.uri}/job/model/bundle" in printed
    names = bucket.names()
    # Where a service looks for a model, and where people do.
    assert "job/model/saved_model.pb" in names
    assert "job/model/bundle/model_card.json" in names
    assert any(name.startswith("job/checkpoints/step-") for name in names)
    assert any(name.startswith("job/logs/events.") for name in names)


def test_a_bucket_that_cannot_be_written_ends_the_job_before_it_begins(job):
    process = job("--output", "gs://no-such-bucket/run")
    _, complained = process.communicate(timeout=60)
    assert process.returncode == 2
    assert complained.count("\n") == 1
    assert "gs://no-such-bucket/run" in complained
