import pathlib
import subprocess
import sys

import pytest

from benchmarks import buckets
from benchmarks.contenders import Model
from benchmarks.results import Results
from benchmarks.workspace import Workspace
from tests.benchmarks.stand_ins import of_buckets

MODEL = Model("dense-300-100", "litert")


@pytest.mark.emulator
@pytest.mark.skipif(buckets.program() is None, reason="fake-gcs-server is missing: run `make tools`")
def test_sizes_take_turns_and_requests_are_counted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "DIGITMILL", of_buckets("digitmill", 1))
    monkeypatch.setattr(buckets, "STOCK_BEAM", of_buckets("stock Beam", 3))
    runs = Results(buckets.buckets(Workspace(tmp_path), MODEL, large=30, stock=20, small=10, rounds=2))
    timed = runs.where(section="buckets")
    first = [("digitmill", 30), ("stock Beam", 20), ("digitmill", 10), ("stock Beam", 10)]
    # What the stock route's start costs is measured once.
    assert [(run.contender, run.images) for run in timed] == first + first[:3]
    assert all(run.right == run.images for run in runs)
    # One for the names, and one or three for each object.
    counted = {run.contender: (run.images, run.requests) for run in runs.where(section="requests")}
    assert counted == {"digitmill": (20, 21), "stock Beam": (20, 61)}


def test_requests_are_the_lines_of_an_access_log(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        'time=1 level=INFO msg="server started at http://127.0.0.1:1"\n'
        'time=2 level=INFO msg="127.0.0.1 - - [x] \\"GET /b/o HTTP/1.1\\" 200 5\\n"\n'
        'time=3 level=INFO msg="127.0.0.1 - - [x] \\"GET /b/o HTTP/1.1\\" 404 5\\n"\n'
    )
    assert buckets.requests(log) == 2


def test_a_server_that_ends_is_not_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    with pytest.raises(ChildProcessError, match="ended with 0"):
        buckets.wait_for(buckets.free_port(), ended)


def test_a_server_that_takes_calls_and_is_not_ready_is_waited_for() -> None:
    answers = (
        "import socket, sys, time\n"
        "with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as server:\n"
        "    server.settimeout(30)\n"
        "    silent, _ = server.accept()\n"
        "    silent.close()\n"
        "    call, _ = server.accept()\n"
        "    call.sendall(b'HTTP/1.0 200 OK')\n"
        "    print('answered', flush=True)\n"
    )
    port = buckets.free_port()
    with subprocess.Popen([sys.executable, "-c", answers, str(port)], stdout=subprocess.PIPE) as server:
        buckets.wait_for(port, server)
        assert server.stdout.read() == b"answered\n"


def test_a_missing_emulator_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "program", lambda: None)
    with pytest.raises(FileNotFoundError, match="make tools"), buckets.emulator(tmp_path):
        pass
