"""Engines that run apart from the launcher: Prism, and worker pools with Python workers of their own.

Beam is imported where it is used: pytest loads this module in every process, whatever is run.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import psutil
import pytest

from tests.gcs_emulator import TOOLS, Bucket, Proxy, free_port
from tests.launching import launch

ROOT = pathlib.Path(__file__).parents[1]
PRISM = "prism"
JOIN_SECONDS = 900.0
"""Flink tries a job three times before it gives up, and may wait three minutes for the workers of each."""

START_SECONDS = 300.0
"""Starting Python and importing Beam takes seconds, and on a busy machine many."""


_OWN_MOUNTS = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
"""What starts a command with mounts of its own."""

_MAY_DIFFER = ("report.html", "run.yaml", ".launcher.lock")
"""Files that show times, by which flags a run was asked for, and who wrote it."""


def contents(place: object) -> dict[str, bytes]:
    """What must be the same in every run: all but times and what shows them; of drawings the names."""
    from digitmill.storage import open_folder

    output = open_folder(str(place))
    files = {
        name: b"" if name.endswith(".png") else output.read(name)
        for name in output.walk()
        if name not in _MAY_DIFFER
    }
    manifest = json.loads(files.pop("manifest.json"))
    manifest.pop("times")
    manifest.pop("command")  # names the output
    manifest.pop("launched")  # and the folder that it was called in
    manifest["figures"].pop("images_per_second")
    manifest["parts"] = [
        part["name"] if part["name"].endswith(".png") else part
        for part in manifest["parts"]
        if part["name"] not in _MAY_DIFFER
    ]
    return files | {"manifest": json.dumps(manifest).encode()}


def interrupt_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every pipeline end by Ctrl-C before it has scored anything: the listing is all that is there."""

    import apache_beam as beam

    def interrupted(_: beam.Pipeline) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(beam.Pipeline, "run", interrupted)


def ending_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command whose process is killed when this one is, however it ends."""
    guard = shutil.which("setpriv")
    return [*([guard, "--pdeathsig", "KILL"] if guard else []), *command]


@contextlib.contextmanager
def serving(
    command: Callable[[int], Sequence[str]],
    log: pathlib.Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: pathlib.Path = ROOT,
) -> Iterator[tuple[subprocess.Popen, int]]:
    """Start a server on a free port, wait until it listens, and kill it and its children at the end.

    Between finding a port and listening to it another process may take it: then the next one is tried.
    """
    for _ in range(5):
        port = free_port()
        with log.open("ab") as written:
            process = subprocess.Popen(
                ending_with_parent(command(port)),
                stdout=written,
                stderr=written,
                env={**os.environ, **(environment or {})},
                cwd=folder,
                start_new_session=True,
            )
        try:
            if _listens(process, port):
                yield process, port
                return
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    raise RuntimeError(f"{command(0)} does not start: {log.read_text()[-2000:]}")


def _listens(process: subprocess.Popen, port: int) -> bool:
    """Whether a process came to listen to its port; False when it ended instead."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            return False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.05)
    raise TimeoutError(f"{process.args} does not answer")


@dataclasses.dataclass(frozen=True)
class WorkerPool:
    """A worker pool as it stands beside a task manager.

    Attributes:
        process: the pool's; its children are the workers.
        port: where it listens.
    """

    process: subprocess.Popen
    port: int

    @property
    def flags(self) -> tuple[str, str]:
        """What tells Beam to have its workers from here."""
        return "--environment_type=EXTERNAL", f"--environment_config=localhost:{self.port}"

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill_workers(self) -> int:
        """Kill the workers as a container's memory limit does; return how many there were."""
        workers = self.workers()
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        return len(workers)


@contextlib.contextmanager
def worker_pool(
    folder: pathlib.Path,
    *,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    shell: str = "",
    hidden: Sequence[pathlib.Path] = (),
) -> Iterator[WorkerPool]:
    """Start a pool whose workers are processes of their own.

    Args:
        folder: for its log.
        environment: added to this process's.
        python: what workers run on: Beam starts them as `python`, whatever runs the pool.
        shell: commands of bash before the pool, such as limits.
        hidden: folders that are empty to the pool, as those of another machine are: the launcher's.
    """
    names = folder / "bin"
    names.mkdir(parents=True, exist_ok=True)
    starter = names / "python"
    starter.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    starter.chmod(0o755)
    more = {
        "PATH": f"{names}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        **(environment or {}),
    }

    def command(port: int) -> list[str]:
        module = "apache_beam.runners.worker.worker_pool_main"
        pool = [sys.executable, "-m", module, f"--service_port={port}"]
        mounts = [f"mount -t tmpfs none {shlex.quote(str(place))}" for place in hidden]
        before = " && ".join([*mounts, shell or "true"])
        alone = _OWN_MOUNTS if hidden else ()
        return [*alone, "bash", "-c", f'{before} && exec "$@"', "bash", *pool] if mounts or shell else pool

    with serving(command, folder / "pool.log", environment=more, folder=folder) as (process, port):
        yield WorkerPool(process, port)


class Runs:
    """Runs of one input that differ in their engine and their output alone.

    Attributes:
        model: the bundle's folder.
        folder: where the outputs go.
        flags: which engine.
        signs: what the log of a run holds when that engine, and no other, has run it.
        environment: added to the launcher's.
        options: further ones, by their names in `ScoreOptions`.
    """

    rows = 20

    def __init__(
        self, model: pathlib.Path, folder: pathlib.Path, *, flags: Sequence[str], signs: Sequence[str]
    ) -> None:
        self.model = model
        self.folder = folder
        self.flags = tuple(flags)
        self.options: dict[str, Any] = {}
        self.signs = tuple(signs)
        self.environment: dict[str, str] = {}

    def direct(self, place: object) -> dict[str, bytes]:
        """What the launcher's own process makes of the same input."""
        from pipelines.score import score_job
        from pipelines.score_options import ScoreOptions

        asked = ScoreOptions(
            inputs=(str(place),),
            model=self.model,
            output=str(self.folder / "direct"),
            rows_per_part=self.rows,
            beam_flags=("--runner=FnApiRunner",),
            **self.options,
        )
        score_job.run(asked)
        return contents(self.folder / "direct")

    def start(self, place: object, *flags: str) -> BaseProcess:
        named = ["--input", place, "--model", self.model, "--output", self.folder / "out"]
        named += [word for name, value in self.options.items() for word in (f"--{name}", value)]
        arguments = ["score", *named, "--rows-per-part", self.rows, *self.flags, *flags]
        return launch(arguments, self.folder / "log", environment=self.environment)

    def run(self, place: object, *flags: str) -> int | None:
        process = self.start(place, *flags)
        process.join(JOIN_SECONDS)
        return process.exitcode

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def last_line(self) -> str:
        """The one line in which a run says why it ended."""
        (line,) = [line for line in self.said().splitlines() if line.startswith("digitmill: ")]
        return line

    def check(self, expected: dict[str, bytes]) -> None:
        """The engine ran, and what there is, is what is expected, and proves itself."""
        from digitmill.storage import open_folder
        from pipelines.output.verification import verify

        for sign in self.signs:
            assert sign in self.said()
        assert contents(self.folder / "out") == expected
        assert verify(open_folder(str(self.folder / "out"))).findings == ()

    def upload(self, digits: pathlib.Path, bucket: Bucket, proxy: Proxy) -> str:
        """Put 200 digits into a bucket, which workers and launcher reach through the proxy."""
        from digitmill.storage.object_stores.google import EMULATOR

        for file in sorted(digits.rglob("*.png"))[:200]:
            bucket.put(f"digits/{file.relative_to(digits)}", file.read_bytes())
        self.environment[EMULATOR] = f"http://127.0.0.1:{proxy.port}"
        return f"{bucket.uri}/digits"


def when_half_is_read(bucket: Bucket, proxy: Proxy, happens: Callable[[], object]) -> None:
    """Make something happen when an object of the middle is read for the first time."""
    name = sorted(bucket.names())[100]
    proxy.faults[name].append(happens)


@pytest.fixture(scope="session")
def own_mounts() -> None:
    """Pools may hide folders; on a system that does not let them, tests of that are skipped."""
    tried = [*_OWN_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(tried, capture_output=True, check=False).returncode != 0:
        pytest.skip("a process may not have mounts of its own here")


@pytest.fixture(scope="session")
def prism() -> str:
    """The program; without it the tests that need it are skipped."""
    program = shutil.which(PRISM, path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"{PRISM} is missing: install Go and run `make tools`")
    return program
