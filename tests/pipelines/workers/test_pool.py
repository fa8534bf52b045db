import dataclasses
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from digitmill.engines.bundle_loader import Bundle
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.frozen_listing import ItemRef, freeze_listing, write_item
from pipelines.listing.input_listing import Listing, list_images
from pipelines.listing.work_item import pack_items
from pipelines.scoring.scoring_task import LocalScorer, ScoringTask
from pipelines.workers import messages
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


def test_each_item_is_answered_by_one_of_the_processes(pool: WorkerPool) -> None:
    assert pool.in_flight == 4
    with ThreadPoolExecutor(pool.in_flight) as threads:
        said = list(threads.map(pool.run, [("item", number) for number in range(200)]))
    assert [answer.split(" by ")[0] for answer in said] == [f"item {number}" for number in range(200)]
    assert {int(answer.split(" by ")[1]) for answer in said} <= set(pool.pids)


def test_few_items_are_spread_over_all_processes(pool: WorkerPool) -> None:
    said = [pool.run(("item", number)) for number in range(2)]
    assert {int(answer.rpartition(" by ")[2]) for answer in said} == set(pool.pids)


def test_an_item_that_was_begun_is_answered_once(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ItemRef] = []
    real = messages.request
    monkeypatch.setattr(messages, "request", lambda ref: asked.append(ref) or real(ref))
    refs = [("item", number) for number in range(20)]
    for ref in refs[:10]:
        pool.begin(ref)
    assert [pool.run(ref).split(" by ")[0] for ref in refs] == [f"item {number}" for number in range(20)]
    assert sorted(asked) == refs


def test_who_runs_an_item_that_was_begun_hears_of_its_error(lone: WorkerPool) -> None:
    lone.begin(("refuses", 0))
    with pytest.raises(StorageError, match="the store is there"):
        lone.run(("refuses", 0))
    assert lone.run(("item", 1)).startswith("item 1")


def test_items_that_were_begun_end_with_the_processes(lone: WorkerPool) -> None:
    refs = [("hangs", 0), ("item", 1), ("item", 2)]
    for ref in refs:
        lone.begin(ref)
    lone.close()
    for ref in refs:
        with pytest.raises(WorkerError, match="live as long as the run"):
            lone.run(ref)


def test_processes_hear_of_their_task_once(pool: WorkerPool, task: ScoringTask) -> None:
    before = pool.pids
    pool.assign(task)
    assert pool.run(("item", 0)).startswith("item 0")
    assert pool.pids == before


def test_a_lane_that_heard_of_an_error_goes_on(lone: WorkerPool) -> None:
    with pytest.raises(StorageError, match=r"the store is there: 'it'. Mend it"):
        lone.run(("refuses", 0))
    assert lone.run(("item", 1)).startswith("item 1")


def test_a_process_that_is_killed_is_replaced_and_its_item_scored(
    pool: WorkerPool, tmp_path: pathlib.Path
) -> None:
    before = set(pool.pids)
    refs = [(str(tmp_path / "kills once") if number == 50 else "item", number) for number in range(100)]
    with ThreadPoolExecutor(pool.in_flight) as threads:
        said = list(threads.map(pool.run, refs))
    assert [int(answer.rpartition(" by ")[0].split()[-1]) for answer in said] == list(range(100))
    assert len(set(pool.pids)) == 2
    assert len(set(pool.pids) - before) == 1
    assert not any(psutil.pid_exists(pid) for pid in before - set(pool.pids))


def test_a_process_that_dies_idle_is_replaced(lone: WorkerPool) -> None:
    lone.run(("item", 0))
    (pid,) = lone.pids
    os.kill(pid, signal.SIGKILL)
    assert lone.run(("item", 1)).startswith("item 1")
    assert lone.pids != (pid,)


@pytest.mark.parametrize(("name", "how"), [("kills", "SIGKILL"), ("exits", "exit code 7")])
def test_an_item_that_kills_every_process_is_given_up_by_name(lone: WorkerPool, name: str, how: str) -> None:
    with pytest.raises(WorkerError, match="a worker process lives until its work item is done") as caught:
        lone.run((name, 3))
    assert name in str(caught.value)
    assert f"{ATTEMPTS} died of it ({', '.join([how] * ATTEMPTS)})" in str(caught.value)
    assert lone.run(("item", 1)).startswith("item 1")


@pytest.mark.slow
def test_an_item_is_not_blamed_for_what_another_one_in_its_process_does(task: ScoringTask) -> None:
    def outcome(ref: ItemRef) -> str:
        try:
            return pool.run(ref)
        except WorkerError as error:
            return str(error)

    refs = [("kills" if number % 5 == 0 else "item", number) for number in range(20)]
    with WorkerPool(1, lanes=4, command=COMMAND) as pool:
        pool.assign(task)
        with ThreadPoolExecutor(pool.in_flight) as threads:
            said = list(threads.map(outcome, refs))
    for (name, number), answer in zip(refs, said, strict=True):
        assert answer.startswith(f"item {number} by" if name == "item" else "a worker process lives"), said


def test_what_an_item_holds_is_said_where_it_is_given_up(
    task: ScoringTask, digit_folder: pathlib.Path
) -> None:
    output = LocalFolder(pathlib.Path(task.output))
    (first, *_) = freeze_listing(Listing(list_images([str(digit_folder)])), output, run="run", most=20).items
    with WorkerPool(1, lanes=1, command=(sys.executable, "-c", "raise SystemExit(5)")) as pool:
        pool.assign(task)
        with pytest.raises(WorkerError, match=r"launcher-00000.json.gz, 0: 20 images from file:///"):
            pool.run(first.ref)


def test_closing_ends_the_processes_and_whoever_waits_for_them(task: ScoringTask) -> None:
    pool = WorkerPool(1, lanes=1, command=COMMAND)
    pool.assign(task)
    pool.run(("item", 0))
    pids, said = pool.pids, []

    def wait(name: str) -> None:
        try:
            said.append(pool.run((name, 0)))
        except WorkerError as error:
            said.append(str(error))

    # One is being answered for ever, the others stand in line.
    threads = [threading.Thread(target=wait, args=("hangs",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    pool.close()
    for thread in threads:
        thread.join(60)
    assert [line.split(":")[0] for line in said] == ["worker processes live as long as the run"] * 3
    assert not any(psutil.pid_exists(pid) for pid in pids)
    pool.close()
    with pytest.raises(WorkerError, match="as long as the run"):
        pool.run(("item", 1))


def test_nothing_runs_before_it_is_started() -> None:
    pool = WorkerPool(3, command=COMMAND)
    assert pool.pids == ()
    pool.start()
    pool.start()
    assert len(pool.pids) == 3
    pool.close()
    assert pool.pids == ()


def test_processes_share_what_a_machine_may_ask_of_a_store(task: ScoringTask, tmp_path: pathlib.Path) -> None:
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


def model_version(
    scorer_of: Callable[[ScoringTask], object], task: ScoringTask, folder: pathlib.Path, output: pathlib.Path
) -> dict[str, bytes]:
    """Scores a folder in items of ten images and returns all files that came of it."""
    listed = freeze_listing(Listing(list_images([str(folder)])), LocalFolder(output), run="run", most=10)
    refs: list[ItemRef] = [item.ref for item in listed.items]
    scorer = scorer_of(dataclasses.replace(task, output=str(output)))
    with ThreadPoolExecutor(scorer.in_flight) as threads:
        assert list(threads.map(scorer.run, refs)) == [item.digest for item in listed.items]
    return files(output)


def test_real_processes_write_what_this_one_would_also_when_some_are_killed(
    task: ScoringTask, mixed_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    expected = model_version(LocalScorer, task, mixed_folder, tmp_path / "here")
    with WorkerPool(2) as pool:

        def ready(told: ScoringTask) -> WorkerPool:
            pool.assign(told)
            os.kill(pool.pids[0], signal.SIGKILL)
            return pool

        assert model_version(ready, task, mixed_folder, tmp_path / "there") == expected
