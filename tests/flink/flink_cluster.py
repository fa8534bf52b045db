"""A Flink cluster of separate processes, and what it is made of: fetched once, checked, and kept.

Flink's distribution comes from PyPI, Beam's job server, or what it is built from, from Maven Central, the
schema of the Kubernetes operator's resources likewise.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import requests

from tests import job_servers
from tests.beam_engines import START_SECONDS, ending_with_parent, serving
from tests.gcs_emulator import free_port
from tests.job_servers import MAVEN, cache, get

VERSION = "1.19.3"  # of the versions that Beam has runners for, the one that a job server can be built for
MINOR = VERSION.rpartition(".")[0]
_SDIST = f"apache-flink-libraries=={VERSION}"
_SDIST_SHA256 = "4a58e3a1fb7d83340bc96b6c080624c6d792d69fae5d294b96224775204a9c60"
_JARS = ("flink-dist-", "log4j-")
_OPERATOR_API = (
    "org/apache/flink/flink-kubernetes-operator-api/1.10.0/flink-kubernetes-operator-api-1.10.0.jar"
)
_OPERATOR_API_SHA256 = "b1f44814e17514fa8395c61b329a3ee9087123a5bda5b21fe1a495d5182c30b6"

# What Flink's own scripts give a JVM of version 17.
_OPENED = [
    "java.io",
    "java.lang",
    "java.lang.reflect",
    "java.net",
    "java.nio",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
    "sun.nio.ch",
]

_CONFIGURATION = """\
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {rest}
rest.bind-port: {rest}
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: 2
cluster.evenly-spread-out-slots: true
taskmanager.cpu.cores: 1.0
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 64m
taskmanager.memory.task.heap.size: 320m
taskmanager.memory.task.off-heap.size: 64m
taskmanager.memory.managed.size: 128m
taskmanager.memory.network.min: 64m
taskmanager.memory.network.max: 64m
taskmanager.memory.jvm-metaspace.size: 192m
taskmanager.memory.jvm-overhead.min: 64m
taskmanager.memory.jvm-overhead.max: 64m
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 2
restart-strategy.fixed-delay.delay: 1 s
pekko.startup-timeout: 300 s
pekko.ask.timeout: 120 s
heartbeat.interval: 2000
heartbeat.timeout: 20000
io.tmp.dirs: {folder}
"""


def distribution() -> pathlib.Path:
    """Return the folder of Flink's jars."""
    libraries = cache() / f"flink-{VERSION}"
    if not libraries.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as name:
            folder = pathlib.Path(name)
            pinned = folder / "requirements.txt"
            pinned.write_text(f"{_SDIST} --hash=sha256:{_SDIST_SHA256}\n")
            fetch = ["download", "--quiet", "--no-deps", "--no-binary=:all:", "--require-hashes"]
            subprocess.run(
                [sys.executable, "-m", "pip", *fetch, "--requirement", pinned, "--dest", folder],
                check=True,
                timeout=900,
            )
            _extract(next(folder.glob("*.tar.gz")), folder / "lib")
            with contextlib.suppress(FileExistsError, OSError):
                (folder / "lib").rename(libraries)  # whole or not at all; another may have been first
    return libraries


def _extract(archive: pathlib.Path, folder: pathlib.Path) -> None:
    folder.mkdir()
    with tarfile.open(archive) as opened:
        for member in opened:
            name = pathlib.PurePosixPath(member.name)
            if name.parent.name == "lib" and name.name.startswith(_JARS):
                content = opened.extractfile(member)
                assert content is not None
                with (folder / name.name).open("wb") as written:
                    shutil.copyfileobj(content, written)


def job_server() -> pathlib.Path:
    """Return Beam's job server for the cluster's version; errors are those of `job_servers`."""
    return job_servers.job_server(f":runners:flink:{MINOR}:job-server:shadowJar", profile="flink")


def operator_api() -> pathlib.Path:
    """Return the jar that holds the schemas of the Flink Kubernetes operator's resources."""
    path = cache() / pathlib.PurePosixPath(_OPERATOR_API).name
    if not path.exists():
        content = get(f"{MAVEN}/{_OPERATOR_API}").content
        found = hashlib.sha256(content).hexdigest()
        if found != _OPERATOR_API_SHA256:
            raise RuntimeError(f"{path.name} has the checksum {found}, not {_OPERATOR_API_SHA256}")
        with tempfile.NamedTemporaryFile(dir=cache(), delete=False) as written:
            written.write(content)
        pathlib.Path(written.name).replace(path)
    return path


class Cluster:
    """A job manager, and the task managers that were started for it."""

    def __init__(self, configuration: pathlib.Path, rest: int) -> None:
        self.rest = rest
        self.task_managers: list[subprocess.Popen] = []
        self._configuration = configuration

    @property
    def master(self) -> str:
        return f"localhost:{self.rest}"

    def add_task_manager(self) -> subprocess.Popen:
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        log = self._configuration / f"task-manager-{len(self.task_managers)}.log"
        with log.open("wb") as written:
            process = subprocess.Popen(
                ending_with_parent(_java(main, self._configuration, heap="448m")),
                stdout=written,
                stderr=written,
            )
        self.task_managers.append(process)
        return process

    def get(self, path: str) -> Any:
        return requests.get(f"http://{self.master}/{path}", timeout=60).json()

    def records_of_slots(self, step: str) -> list[int]:
        """Return how many elements each slot has read in a step of the newest job."""
        newest = max(self.get("v1/jobs/overview")["jobs"], key=lambda job: job["start-time"])["jid"]
        vertices = self.get(f"v1/jobs/{newest}")["vertices"]
        (vertex,) = (vertex["id"] for vertex in vertices if vertex["name"].endswith(f"{step})"))
        slots = self.get(f"v1/jobs/{newest}/vertices/{vertex}")["subtasks"]
        return [slot["metrics"]["read-records"] for slot in slots]

    def wait_for_task_managers(self, number: int) -> None:
        """Return when the job manager knows so many that have told it of their slots."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            seen = self.get("overview")  # of a job manager that has just begun: that it is not ready
            if (seen.get("taskmanagers"), seen.get("slots-total")) == (number, 2 * number):
                return
            if sum(process.poll() is None for process in self.task_managers) < number:
                raise RuntimeError(f"a task manager ended: see {self._configuration}")
            time.sleep(0.2)
        raise TimeoutError(f"the job manager knows {seen}")

    def wait_for(self, count: str, number: int) -> None:
        """Return when the job manager's overview counts so many."""
        end = time.monotonic() + START_SECONDS
        while (found := self.get("overview")[count]) != number:
            if time.monotonic() > end:
                raise TimeoutError(f"{count} is {found}, not {number}")
            time.sleep(0.2)

    def stop(self) -> None:
        for process in self.task_managers:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running_cluster(folder: pathlib.Path, *, task_managers: int) -> Iterator[Cluster]:
    """Start a session cluster of separate processes and kill them all at the end."""
    rpc = free_port()

    def job_manager(rest: int) -> list[str]:
        text = _CONFIGURATION.format(rpc=rpc, rest=rest, folder=folder)
        (folder / "config.yaml").write_text(text)
        main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        return _java(main, folder, heap="512m")

    with serving(job_manager, folder / "job-manager.log") as (_, rest):
        cluster = Cluster(folder, rest)
        try:
            for _ in range(task_managers):
                cluster.add_task_manager()
            cluster.wait_for_task_managers(task_managers)
            yield cluster
        finally:
            cluster.stop()


def _java(main: str, configuration: pathlib.Path, *, heap: str) -> list[str]:
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    jars = os.pathsep.join(sorted(map(str, distribution().glob("*.jar"))))
    return ["java", f"-Xmx{heap}", *opened, "-classpath", jars, main, "--configDir", str(configuration)]
