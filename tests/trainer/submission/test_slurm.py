"""The batch script, run by a real bash with stand-ins for srun and scontrol."""

import os
import pathlib
import socket
import stat
import subprocess
import sys

import pytest

from schemas.errors import UserError
from schemas.model.model_card import ModelCard
from trainer.submission.cluster_options import SlurmOptions
from trainer.submission.request import Request
from trainer.submission.slurm import script, submit
from trainer.train_options import TrainOptions

ROOT = pathlib.Path(__file__).parents[3]

SRUN = """#!{python}
'''Starts two tasks, as srun does on two nodes, and ends with the greatest exit code.'''
import os, subprocess, sys
command = sys.argv[1:]
while command[0].startswith("--"):
    del command[0]
tasks = [
    subprocess.Popen(command, env={{**os.environ, "SLURM_PROCID": str(number)}},
                     stdout=open(f"{folder}/task{{number}}.log", "w"), stderr=subprocess.STDOUT)
    for number in range(2)
]
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = """#!/bin/sh
echo "$@" >> {folder}/scontrol.log
if [ "$1 $2" = "show hostnames" ]; then echo localhost; echo 127.0.0.1; fi
"""


def request(*arguments: str, **more) -> Request:
    options = TrainOptions(recipe="dense-128", data="sample", output="run")
    return Request("digits", options, ("--recipe", "dense-128", "--output", "run", *arguments), **more)


def install(folder: pathlib.Path, name: str, text: str) -> None:
    tool = folder / name
    tool.write_text(text.format(python=sys.executable, folder=folder))
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)


def two_free_ports() -> int:
    """A port that is free together with the one after it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def run(folder: pathlib.Path, text: str, **environment: str) -> subprocess.CompletedProcess:
    (folder / "job.sh").write_text(text)
    return subprocess.run(
        ["bash", "job.sh"],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NODELIST": "node[01-02]",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_two_tasks_of_srun_train_together(tmp_path):
    install(tmp_path, "srun", SRUN)
    install(tmp_path, "scontrol", SCONTROL)
    text = script(request("--epochs", "1", "--batch", "100", workers=2, gpus=0), SlurmOptions())
    done = run(tmp_path, text, DIGITMILL_PORT=str(two_free_ports()))
    logs = [(tmp_path / f"task{number}.log").read_text() for number in range(2)]
    assert done.returncode == 0, (done.stderr, *logs)
    card = ModelCard.from_json((tmp_path / "run" / "bundle" / "model_card.json").read_text())
    assert (card.replicas, card.epochs) == (2, 1)
    assert "on each of 2 replicas" in logs[0]
    assert (tmp_path / "scontrol.log").read_text() == "show hostnames node[01-02]\n"


STATUS = '#!/bin/sh\necho "$DIGITMILL_WORKERS" > {folder}/workers\nexit %d\n'


@pytest.mark.parametrize(
    ("status", "restarts", "requeued"),
    [(0, 0, False), (1, 0, False), (2, 0, False), (143, 0, True), (137, 3, True), (143, 20, False)],
)
def test_what_is_saved_or_killed_is_queued_again_and_what_failed_is_not(tmp_path, status, restarts, requeued):
    install(tmp_path, "srun", STATUS % status)
    install(tmp_path, "scontrol", SCONTROL)
    done = run(tmp_path, script(request(workers=2), SlurmOptions()), SLURM_RESTART_COUNT=str(restarts))
    assert done.returncode == status, done.stderr
    assert ("requeue 4711" in (tmp_path / "scontrol.log").read_text().splitlines()) == requeued


def test_the_port_is_the_jobs_own_and_each_workers_own(tmp_path):
    install(tmp_path, "srun", STATUS % 0)
    install(tmp_path, "scontrol", SCONTROL)
    run(tmp_path, script(request(workers=2), SlurmOptions()), SLURM_JOB_ID="123456")
    assert (tmp_path / "workers").read_text() == "localhost:23456,127.0.0.1:23457\n"


def test_setup_comes_first_and_its_failure_ends_the_job(tmp_path):
    install(tmp_path, "srun", STATUS % 0)
    install(tmp_path, "scontrol", SCONTROL)
    options = SlurmOptions(setup=("echo ready > setup.log", "false"))
    assert run(tmp_path, script(request(), options)).returncode == 1
    assert (tmp_path / "setup.log").read_text() == "ready\n"
    assert not (tmp_path / "workers").exists()


def test_directives_say_what_is_asked_for():
    options = SlurmOptions(partition="gpu", time="04:00:00", cpus="8", python="/shared/venv/bin/python")
    lines = script(request(workers=4, gpus=2), options).splitlines()
    assert lines[0] == "#!/bin/bash"
    directives = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH --")}
    assert {"nodes=4", "ntasks-per-node=1", "gpus-per-node=2", "cpus-per-task=8"} <= directives
    assert {"partition=gpu", "time=04:00:00", "requeue", "open-mode=append", "signal=TERM@180"} <= directives
    assert "gpus-per-node" not in script(request(gpus=0), SlurmOptions())
    # Slurm reads directives up to the first command only.
    assert max(n for n, line in enumerate(lines) if line.startswith("#SBATCH")) < lines.index(
        "set -euo pipefail"
    )
    (command,) = (line for line in lines if line.startswith("srun "))
    flags = "--recipe dense-128 --output run --require-gpus 2 --resume"
    assert f"/shared/venv/bin/python -m trainer.task {flags}" in command


@pytest.mark.parametrize(
    ("gpus", "cpus", "cores"), [(0, None, 4), (1, None, 4), (8, None, 32), (8, "12", 12)]
)
def test_the_workers_have_the_cores_of_the_job(tmp_path, gpus, cpus, cores):
    # Since Slurm 22.05 srun does not inherit --cpus-per-task: without its own, all threads of a worker share
    # one core.
    install(tmp_path, "srun", '#!/bin/sh\necho "$@" > {folder}/words\n')
    install(tmp_path, "scontrol", SCONTROL)
    text = script(request(gpus=gpus), SlurmOptions(cpus=cpus))
    assert f"#SBATCH --cpus-per-task={cores}" in text.splitlines()
    assert run(tmp_path, text).returncode == 0
    flags = (tmp_path / "words").read_text().partition(sys.executable)[0]
    assert f"--cpus-per-task={cores}" in flags.split()


@pytest.mark.parametrize("change", [{"time": "soon"}, {"partition": "gpu; rm"}, {"cpus": "2.5"}])
def test_what_slurm_would_not_take_is_refused(change):
    with pytest.raises(UserError, match=f"--{next(iter(change))} is not"):
        SlurmOptions(**change)


def test_flags_reach_the_workers_as_they_are(tmp_path):
    install(tmp_path, "srun", '#!/bin/sh\nfor word; do echo "<$word>"; done > {folder}/words\n')
    install(tmp_path, "scontrol", SCONTROL)
    odd = "folder:a b'c$HOME*"
    run(tmp_path, script(request("--data", odd), SlurmOptions()))
    assert f"<{odd}>" in (tmp_path / "words").read_text().splitlines()


def test_sbatch_gets_the_script_that_a_dry_run_prints(tmp_path, monkeypatch):
    install(tmp_path, "sbatch", "#!/bin/sh\ncat > {folder}/given\necho Submitted batch job 7\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert submit(request(), SlurmOptions()) == "Submitted batch job 7"
    assert (tmp_path / "given").read_text() == script(request(), SlurmOptions())
