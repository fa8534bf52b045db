"""Processes that share a search, without a training."""

import multiprocessing
import os
import pathlib
import signal
import threading
import time

import pytest

from schemas.errors import ExitCode, JobFailedError, UserError, WorkerError
from trainer.loop.actions.preemption import PreemptedError
from trainer.tuning import processes
from trainer.tuning.processes import ProcessError, shares
from trainer.tuning.tune_options import TuneOptions


@pytest.mark.parametrize(
    ("count", "gpus", "replicas", "expected"),
    [
        (2, 2, None, ["0", "1"]),
        (2, 8, None, ["0,1,2,3", "4,5,6,7"]),
        # Each has the same number of GPUs: else a batch that one can divide another can't.
        (3, 8, None, ["0,1", "2,3", "4,5"]),
        (3, 8, 1, ["0", "1", "2"]),
    ],
)
def test_each_process_has_gpus_of_its_own(count, gpus, replicas, expected):
    found = shares(count, gpus=gpus, cores=16, replicas=replicas, environment={})
    assert [share["CUDA_VISIBLE_DEVICES"] for share in found] == expected


def test_only_the_visible_gpus_are_shared_out():
    found = shares(2, gpus=2, cores=2, environment={"CUDA_VISIBLE_DEVICES": "5,GPU-7f"})
    assert [share["CUDA_VISIBLE_DEVICES"] for share in found] == ["5", "GPU-7f"]


@pytest.mark.parametrize(("count", "cores", "threads"), [(2, 8, "4"), (3, 8, "2"), (4, 2, "1")])
def test_processes_share_the_cores(count, cores, threads):
    assert shares(count, gpus=0, cores=cores, environment={}) == [{"TF_NUM_INTRAOP_THREADS": threads}] * count


@pytest.mark.parametrize(
    ("count", "replicas", "words"),
    [
        (3, None, "needs 1 GPU per process, but 2 are visible: 3. Give --parallel 2"),
        (2, 2, "needs 2 GPUs"),
    ],
)
def test_more_processes_than_gpus_are_refused(count, replicas, words):
    with pytest.raises(UserError, match=words):
        shares(count, gpus=2, cores=2, replicas=replicas, environment={})


def _note(options: TuneOptions) -> None:
    (options.output / os.environ["NAME"]).write_text(str(os.getpid()))


def _fail(options: TuneOptions) -> None:
    error = {
        "user": UserError("no such data", value="x", hint="give others"),
        "job": JobFailedError("diverged"),
        "preempted": PreemptedError("stopped"),
    }
    if os.environ["NAME"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ["NAME"] in error:
        raise error[os.environ["NAME"]]


def run(work, folder: pathlib.Path, *names: str) -> None:
    options = TuneOptions(recipe="cnn", data="sample", output=folder)
    processes.run(work, options, [{"NAME": name} for name in names])


@pytest.mark.slow
def test_each_process_has_its_environment(tmp_path):
    run(_note, tmp_path, "a", "b")
    written = {path.name: int(path.read_text()) for path in tmp_path.iterdir()}
    assert set(written) == {"a", "b"}
    assert len({*written.values(), os.getpid()}) == 3
    assert "NAME" not in os.environ


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "words", "code"),
    [
        ("user", ProcessError, "no such data: 'x'. Give others.", ExitCode.USAGE),
        ("job", ProcessError, "diverged", ExitCode.CRASHED),
        ("preempted", WorkerError, "died: 'exit code 143'", None),
        ("killed", WorkerError, "1 of 2 processes of the search died: 'exit code -9'", None),
    ],
)
def test_the_error_of_a_process_is_the_search_s(tmp_path, name, kind, words, code):
    with pytest.raises(kind, match=words) as raised:
        run(_fail, tmp_path, "well", name)
    if code is not None:
        assert raised.value.code == code


def _wait(options: TuneOptions) -> None:
    _note(options)
    time.sleep(60)


@pytest.mark.slow
def test_a_stop_signal_ends_all_processes(tmp_path):
    def stop_once_both_run() -> None:
        while sum(bool(path.read_text()) for path in tmp_path.glob("[ab]")) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop_once_both_run, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run(_wait, tmp_path, "a", "b")
    for name in ("a", "b"):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / name).read_text()), 0)


def _ignore_signals(options: TuneOptions) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _wait(options)


@pytest.mark.slow
def test_a_process_that_hangs_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_GRACE", 0.5)

    def stop_once_it_runs() -> None:
        while not any(path.read_text() for path in tmp_path.glob("a")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop_once_it_runs, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run(_ignore_signals, tmp_path, "a")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "a").read_text()), 0)


def _runs(pid: int) -> bool:
    # Whoever adopts orphans may leave a dead one unread.
    status = pathlib.Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_processes_end_when_the_first_one_is_killed(tmp_path):
    search = multiprocessing.get_context("spawn").Process(target=run, args=(_wait, tmp_path, "a", "b"))
    search.start()
    while sum(bool(path.read_text()) for path in tmp_path.glob("[ab]")) < 2:
        time.sleep(0.05)
    search.kill()
    search.join()
    left = [int((tmp_path / name).read_text()) for name in ("a", "b")]
    for _ in range(200):
        if not any(map(_runs, left)):
            break
        time.sleep(0.05)
    assert not any(map(_runs, left))
