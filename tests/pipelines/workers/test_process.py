import os
import pathlib
import subprocess
import sys
import threading
from multiprocessing.connection import Connection, Pipe

import pytest

from digitmill.engines.engine import EngineError
from pipelines.workers import messages
from pipelines.workers.process import serve
from schemas.errors import StorageError


def answers(connection: Connection, *names: str) -> list[object]:
    """What is said to requests for items of such names: digests, or errors."""
    said: list[object] = []
    for name in names:
        connection.send_bytes(messages.encode_request((name, 0)))
        try:
            said.append(messages.parse_response(connection.recv_bytes()))
        except (EngineError, StorageError, messages.RemoteError) as error:
            said.append(type(error))
    return said


def scored(ref: tuple[str, int]) -> str:
    errors = {
        "store": StorageError("the store is there", value="it", hint="mend it"),
        "model": EngineError("it scored none"),
        "mistake": KeyError("not there"),
    }
    if ref[0] in errors:
        raise errors[ref[0]]
    return f"digest of {ref[0]}"


def test_requests_are_answered_in_turn_also_after_errors() -> None:
    ours, theirs = Pipe()
    thread = threading.Thread(target=serve, args=(theirs, scored))
    thread.start()
    said = answers(ours, "a", "store", "model", "mistake", "b")
    ours.close()
    thread.join(60)
    assert not thread.is_alive()
    assert said == ["digest of a", StorageError, EngineError, messages.RemoteError, "digest of b"]


def start(*numbers: int, **more: object) -> tuple[subprocess.Popen, Connection]:
    """Start the real process; return it and the launcher's end of its control connection."""
    ours, theirs = Pipe()
    command = [sys.executable, "-m", "pipelines.workers.process", *map(str, numbers)]
    with theirs:
        process = subprocess.Popen(command, stdin=theirs.fileno(), pass_fds=numbers, **more)
    return process, ours


def test_it_ends_with_its_launcher_before_it_has_a_task() -> None:
    process, control = start()
    control.close()
    assert process.wait(100) == 0


def test_a_failed_setup_is_the_response_to_every_request() -> None:
    ours, theirs = Pipe()
    with theirs:
        process, control = start(theirs.fileno())
    control.send_bytes(b"no pickle of a task")
    assert answers(ours, "a", "b") == [messages.RemoteError, messages.RemoteError]
    control.close()
    assert process.wait(100) == 0


def test_it_needs_neither_beam_nor_google_nor_tensorflow() -> None:
    code = """
import sys
import pipelines.workers.process
heavy = {"apache_beam", "google.cloud.storage", "tensorflow", "grpc", "pandas", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("when", ["idle", "busy"])
def test_it_ends_with_its_launcher_in_the_middle_of_an_item(tmp_path: pathlib.Path, when: str) -> None:
    """A launcher that is killed closes its connections, and nothing else tells the worker."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"""
from pipelines.workers import process
def score(ref):
    open({str(fifo)!r}, "w").close()  # says that it is busy
    open({str(fifo)!r}).close()  # nobody ever writes: it would be busy for ever
process._make_score = lambda task: score
import sys
process.main(sys.argv[1:])
"""
    ours, theirs = Pipe()
    lane, lane_end = Pipe()
    with theirs, lane_end:
        command = [sys.executable, "-c", code, str(lane_end.fileno())]
        process = subprocess.Popen(command, stdin=theirs.fileno(), pass_fds=[lane_end.fileno()])
    ours.send_bytes(b"task")
    if when == "busy":
        lane.send_bytes(messages.encode_request(("a", 0)))
        with fifo.open():
            pass
    ours.close()
    assert process.wait(100) == 0
