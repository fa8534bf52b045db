import dataclasses
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from digitmill.engines.bundle_loader import Bundle
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.frozen_listing import ItemRef, freeze_listing, write_item
from pipelines.listing.input_listing import Listing, list_images
from pipelines.listing.work_item import pack_items
from pipelines.scoring.scoring_task import ItemScorer, LocalScorer, ScoringTask
from pipelines.workers.pool import ATTEMPTS, WorkerPool
from schemas.errors import StorageError, WorkerError

# Answers at once, without a model: what an item is called says what becomes of it.
STAND_IN = r"""
import os, pickle, signal, sys, threading
from multiprocessing.connection import Connection

control = Connection(0)
control.recv_bytes()

def once(name):
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False

def serve(lane):
    import json
    while True:
        name, number = json.loads(lane.recv_bytes())
        if name == "kills" or name.startswith("/") and once(name):
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "exits":
            os._exit(7)
        if name == "hangs":
            threading.Event().wait()
        if name == "refuses":
            fields = {"error": "the store is there", "value": "it", "hint": "mend it"}
            lane.send_bytes(json.dumps({"error": "StorageError", "fields": fields}).encode())
            continue
        lane.send_bytes(json.dumps({"done": f"{name} {number} by {os.getpid()}"}).encode())

for number in sys.argv[1:]:
    threading.Thread(target=serve, args=(Connection(int(number)),), daemon=True).start()
try:
    control.recv_bytes()
except EOFError:
    os._exit(0)
"""
COMMAND = (sys.executable, "-c", STAND_IN)


@pytest.fixture
def task(bundle: Bundle, tmp_path: pathlib.Path) -> ScoringTask:
    """A task in whose output the deadly items are listed: what they hold is said where they are given up."""
    output = LocalFolder(tmp_path / "out")
    output.claim()
    archives = [ListedImage(f"file:///in/{number}.zip", 1, 1) for number in range(20)]
    for name in ("kills", "exits"):
        (item,) = pack_items(archives, "run")
        write_item(output, name, item)
    return ScoringTask(bundle=bundle, output=str(tmp_path / "out"), run="run", accept_threshold=0.9)


@pytest.fixture
def pool(task: ScoringTask) -> Iterator[WorkerPool]:
    """Two stand-ins with two lanes each."""
    with WorkerPool(2, lanes=2, command=COMMAND) as pool:
        pool.assign(task)
        yield pool


@pytest.fixture
def lone(task: ScoringTask) -> Iterator[WorkerPool]:
    """One stand-in with one lane."""
    with WorkerPool(1, lanes=1, command=COMMAND) as pool:
        pool.assign(task)
        yield pool


def results(scorer: ItemScorer, refs: list[ItemRef]) -> list[str]:
    """Has items scored side by side."""
    return [future.result() for future in [scorer.submit(ref) for ref in refs]]


def test_each_item_is_scored_by_one_of_the_processes(pool: WorkerPool) -> None:
    said = results(pool, [("item", number) for number in range(200)])
    assert [answer.split(" by ")[0] for answer in said] == [f"item {number}" for number in range(200)]
    assert {int(answer.split(" by ")[1]) for answer in said} <= set(pool.pids)


def test_few_items_are_spread_over_all_processes(pool: WorkerPool) -> None:
    said = [pool.submit(("item", number)).result() for number in range(2)]
    assert {int(answer.rpartition(" by ")[2]) for answer in said} == set(pool.pids)


def test_an_items_error_is_raised_by_its_future(lone: WorkerPool) -> None:
    refused, item = lone.submit(("refuses", 0)), lone.submit(("item", 1))
    with pytest.raises(StorageError, match=r"the store is there: 'it'. Mend it"):
        refused.result()
    assert item.result().startswith("item 1")


def test_the_task_is_sent_once(pool: WorkerPool, task: ScoringTask) -> None:
    before = pool.pids
    pool.assign(task)
    assert pool.submit(("item", 0)).result().startswith("item 0")
    assert pool.pids == before


def test_a_process_that_is_killed_is_replaced_and_its_item_scored(
    pool: WorkerPool, tmp_path: pathlib.Path
) -> None:
    before = set(pool.pids)
    refs = [(str(tmp_path / "kills once") if number == 50 else "item", number) for number in range(100)]
    said = results(pool, refs)
    assert [int(answer.rpartition(" by ")[0].split()[-1]) for answer in said] == list(range(100))
    assert len(set(pool.pids)) == 2
    assert len(set(pool.pids) - before) == 1
    assert not any(psutil.pid_exists(pid) for pid in before - set(pool.pids))


def test_a_process_that_dies_idle_is_replaced(lone: WorkerPool) -> None:
    lone.submit(("item", 0)).result()
    (pid,) = lone.pids
    os.kill(pid, signal.SIGKILL)
    assert lone.submit(("item", 1)).result().startswith("item 1")
    assert lone.pids != (pid,)


@pytest.mark.parametrize(("name", "how"), [("kills", "SIGKILL"), ("exits", "exit code 7")])
def test_an_item_that_kills_every_process_is_given_up_by_name(lone: WorkerPool, name: str, how: str) -> None:
    with pytest.raises(WorkerError, match=f"a work item ended {ATTEMPTS} worker processes") as caught:
        lone.submit((name, 3)).result()
    assert name in str(caught.value)
    assert f"({', '.join([how] * ATTEMPTS)})" in str(caught.value)
    assert lone.submit(("item", 1)).result().startswith("item 1")


@pytest.mark.slow
def test_an_item_is_not_blamed_when_another_one_kills_its_process(task: ScoringTask) -> None:
    refs = [("kills" if number % 5 == 0 else "item", number) for number in range(20)]
    with WorkerPool(1, lanes=4, command=COMMAND) as pool:
        pool.assign(task)
        ended = [(future.exception(), future) for future in map(pool.submit, refs)]
    said = [str(error or future.result()) for error, future in ended]
    for (name, number), answer in zip(refs, said, strict=True):
        assert answer.startswith(f"item {number} by" if name == "item" else "a work item ended"), said


def test_the_error_of_a_deadly_item_names_its_images(task: ScoringTask, digit_folder: pathlib.Path) -> None:
    output = LocalFolder(pathlib.Path(task.output))
    (first, *_) = freeze_listing(Listing(list_images([str(digit_folder)])), output, run="run", most=20)
    with WorkerPool(1, lanes=1, command=(sys.executable, "-c", "raise SystemExit(5)")) as pool:
        pool.assign(task)
        with pytest.raises(WorkerError, match=r"launcher-00000.json.gz, 0: 20 images from file:///"):
            pool.submit(first.ref).result()


def test_closing_ends_the_processes_and_fails_pending_items(task: ScoringTask) -> None:
    pool = WorkerPool(1, lanes=1, command=COMMAND)
    pool.assign(task)
    pool.submit(("item", 0)).result()
    pids = pool.pids
    # One is never answered, the others stand in line.
    pending = [pool.submit(("hangs", 0)) for _ in range(3)]
    pool.close()
    for future in pending:
        assert isinstance(future.exception(timeout=60), WorkerError)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    pool.close()
    with pytest.raises(WorkerError, match="were stopped"):
        pool.submit(("item", 1))


def test_cancelled_items_are_not_scored(lone: WorkerPool) -> None:
    running, *queued = [lone.submit(("hangs", 0)) for _ in range(10)]
    while not running.running():
        time.sleep(0.01)
    lone.cancel([running, *queued])
    assert not running.cancelled()
    assert queued[-1].cancelled()


def test_no_process_runs_before_the_start() -> None:
    pool = WorkerPool(3, command=COMMAND)
    assert pool.pids == ()
    pool.start()
    pool.start()
    assert len(pool.pids) == 3
    pool.close()
    assert pool.pids == ()


def test_processes_share_the_machines_request_rate(task: ScoringTask, tmp_path: pathlib.Path) -> None:
    told = tmp_path / "told"
    command = (
        sys.executable,
        "-c",
        "import sys; from multiprocessing.connection import Connection\n"
        f"data = Connection(0).recv_bytes(); open({str(told)!r}, 'wb').write(data)",
    )
    asked = dataclasses.replace(task, limits=ReadLimits(connections=5, requests_per_second=90))
    with WorkerPool(3, command=command) as pool:
        pool.assign(asked)
        for process in pool._processes:
            process._process.wait(100)
    import pickle

    limits = pickle.loads(told.read_bytes()).limits
    assert limits == ReadLimits(connections=5, requests_per_second=90, processes=3)


def files(output: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.rglob("*") if path.is_file()}


def score_items(
    scorer_of: Callable[[ScoringTask], object], task: ScoringTask, folder: pathlib.Path, output: pathlib.Path
) -> dict[str, bytes]:
    """Score a folder in items of ten images and return all files that came of it."""
    output.mkdir()
    listed = list(
        freeze_listing(Listing(list_images([str(folder)])), LocalFolder(output), run="run", most=10)
    )
    refs: list[ItemRef] = [item.ref for item in listed]
    scorer = scorer_of(dataclasses.replace(task, output=str(output)))
    assert results(scorer, refs) == [item.digest for item in listed]
    return files(output)


def test_real_processes_write_the_same_files_as_this_one_although_one_is_killed(
    task: ScoringTask, mixed_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    expected = score_items(LocalScorer, task, mixed_folder, tmp_path / "here")
    with WorkerPool(2) as pool:

        def ready(told: ScoringTask) -> WorkerPool:
            pool.assign(told)
            os.kill(pool.pids[0], signal.SIGKILL)
            return pool

        assert score_items(ready, task, mixed_folder, tmp_path / "there") == expected
