"""Scores objects of a GCS emulator by digitmill and by the stock Beam route, in turns.

The emulator runs on the same cores as the client, so both routes pay for its work too. The stock route
is given fewer images, because it would take minutes: images/s are compared. What an image costs the
client's processor is the difference between a large folder and a small one, which leaves the start out.
"""

import contextlib
import itertools
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Final

from benchmarks import predictions, process
from benchmarks.contenders import DIGITMILL, STOCK_BEAM, Contender, Model
from benchmarks.process import ROOT
from benchmarks.results import Run
from benchmarks.workspace import Workspace
from digitmill.machine import cpu_count

VARIABLE: Final = "STORAGE_EMULATOR_HOST"
_PROGRAM: Final = "fake-gcs-server"
_TOOLS: Final = ROOT / ".venv" / "tools"
_WAIT_SECONDS: Final = 300
"""It compares each object with all before it: ten thousand take it a minute."""


def program() -> str | None:
    """Return the emulator's path, or None where there is none: `make tools` builds it."""
    return shutil.which(_PROGRAM, path=f"{_TOOLS}{os.pathsep}{os.environ['PATH']}")


def buckets(
    workspace: Workspace, model: Model, *, large: int, stock: int, small: int, rounds: int
) -> Iterator[Run]:
    """Yield the runs in turns, then one of each contender with its requests counted.

    Args:
        workspace: images and outputs.
        model: to score with.
        large: images for digitmill.
        stock: images for the stock route.
        small: images for both, for what their start costs.
        rounds: how often.
    """
    sizes = sorted({large, stock, small})
    pairs = [(DIGITMILL, large), (STOCK_BEAM, stock), (DIGITMILL, small), (STOCK_BEAM, small)]
    with tempfile.TemporaryDirectory(dir=workspace.folder) as name:
        folder = pathlib.Path(name)
        for size in sizes:
            # Links of files: the emulator does not follow those of folders.
            shutil.copytree(workspace.images(size), folder / bucket(size), copy_function=os.link)
        with emulator(folder) as address:
            for turn, (contender, images) in itertools.product(range(rounds), pairs):
                if turn and (contender, images) == (STOCK_BEAM, small):
                    # This measures its start alone, which is long: once is enough.
                    continue
                yield one(workspace, model, contender, images=images, turn=turn, address=address)
        log = workspace.folder / "requests.log"
        for contender in (DIGITMILL, STOCK_BEAM):
            with emulator(folder, log) as address:
                before = requests(log)
                run = one(workspace, model, contender, images=stock, turn=rounds, address=address)
            yield _counted(run, requests(log) - before)


def bucket(images: int) -> str:
    """Return the name of the bucket that holds that many."""
    return f"digits-{images}"


def one(
    workspace: Workspace, model: Model, contender: Contender, *, images: int, turn: int, address: str
) -> Run:
    """Score a bucket once and check the predictions."""
    output = workspace.output(contender.name.replace(" ", "-"))
    command = contender.command(f"gs://{bucket(images)}", model, output)
    finished = process.run(command, environment={VARIABLE: address})
    return Run(
        section="buckets",
        model=model.recipe,
        images=images,
        contender=contender.name,
        turn=turn,
        cores=cpu_count(),
        pipeline_seconds=contender.seconds(finished.output, output),
        command_seconds=finished.seconds,
        processor_seconds=finished.processor_seconds,
        right=predictions.check(output, images),
    )


def _counted(run: Run, requests: int) -> Run:
    # Only the count is of use: the emulator wrote a log line for each request.
    return Run(**{**vars(run), "section": "requests", "requests": requests})


def requests(log: pathlib.Path) -> int:
    """Return the number of requests in an emulator's log."""
    return log.read_text(encoding="utf-8", errors="replace").count(' HTTP/1.1\\" ')


@contextlib.contextmanager
def emulator(folder: pathlib.Path, log: pathlib.Path | None = None) -> Iterator[str]:
    """Serve each sub-folder as a bucket and yield the address.

    Args:
        folder: read when the emulator starts.
        log: a line a request goes there, which costs time.
    """
    found = program()
    if found is None:
        raise FileNotFoundError(f"{_PROGRAM} is missing: install Go and run `make tools`")
    port = free_port()
    address = f"127.0.0.1:{port}"
    arguments = ["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    arguments += ["-data", str(folder), "-public-host", address, "-log-level", "info" if log else "error"]
    with (
        open(log or os.devnull, "w") as lines,
        subprocess.Popen([found, *arguments], stdout=lines, stderr=subprocess.STDOUT) as server,
    ):
        try:
            wait_for(port, server)
            yield f"http://{address}"
        finally:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, server: subprocess.Popen) -> None:
    """Wait until the server replies: it accepts connections at once, but reads all its files first."""
    until = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            raise ChildProcessError(f"{_PROGRAM} ended with {server.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as call:
            call.sendall(b"GET / HTTP/1.0\r\n\r\n")  # HTTP/1.0, which is not counted
            if call.recv(1):
                return
        time.sleep(0.1)
    raise TimeoutError(f"{_PROGRAM} does not answer within {_WAIT_SECONDS} s")
