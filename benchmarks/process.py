"""Runs a command as a process of its own and measures it from its start to its exit."""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Final

import psutil

ROOT: Final = pathlib.Path(__file__).resolve().parents[1]
"""Where commands run: `python -m` takes the code of the current folder."""

_SAMPLE_SECONDS: Final = 0.2


@dataclasses.dataclass(frozen=True)
class Finished:
    """A process that has ended well.

    Attributes:
        output: what it printed on standard output.
        seconds: from its start to its exit.
        processor_seconds: user and system time, its own and that of the children it waited for.
        peak_bytes: greatest sum over its process tree of proportional set sizes, in which a page that
            several processes share counts once; 0 where memory was not sampled.
    """

    output: str
    seconds: float
    processor_seconds: float
    peak_bytes: int = 0


class CommandError(Exception):
    """A command that was to be measured has failed."""


def run(
    command: Sequence[object],
    *,
    environment: Mapping[str, str] | None = None,
    cores: int | None = None,
    memory: bool = False,
) -> Finished:
    """Runs a command and returns what it took.

    Args:
        command: program and arguments.
        environment: variables besides this process's own.
        cores: how many of this process's cores it may use; all when None.
        memory: whether its memory is sampled, which costs the machine some time.

    Raises:
        CommandError: when it cannot be started or fails.
    """
    arguments = [str(argument) for argument in command]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        try:
            with on_cores(cores):
                process = subprocess.Popen(
                    arguments,
                    stdout=output,
                    stderr=errors,
                    stdin=subprocess.DEVNULL,
                    cwd=ROOT,
                    env={**os.environ, **(environment or {})},
                )
        except OSError as error:
            raise CommandError(f"{arguments[0]} does not start: {error}") from error
        # The usage of this child alone: that of all children would hold those measured before.
        with _killed_if_left(process), _peak(process.pid, sampled=memory) as peak:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise CommandError(f"{' '.join(arguments)} ended with {process.returncode}:\n{_tail(errors)}")
        output.seek(0)
        return Finished(output.read(), seconds, usage.ru_utime + usage.ru_stime, max(peak, default=0))


@contextlib.contextmanager
def on_cores(count: int | None) -> Iterator[None]:
    """Keeps what this thread starts meanwhile on the first `count` cores that it may use itself."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def _killed_if_left(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    except BaseException:
        process.kill()
        process.wait()
        raise


@contextlib.contextmanager
def _peak(pid: int, *, sampled: bool) -> Iterator[list[int]]:
    """Yields the sums of memory that are seen until the end."""
    seen: list[int] = []
    if not sampled:
        yield seen
        return
    ended = threading.Event()
    sampler = threading.Thread(target=_sample, args=(pid, seen, ended))
    sampler.start()
    try:
        yield seen
    finally:
        ended.set()
        sampler.join()


def _sample(pid: int, seen: list[int], ended: threading.Event) -> None:
    while True:
        seen.append(memory_of(pid))
        if ended.wait(_SAMPLE_SECONDS):
            return


def memory_of(pid: int) -> int:
    """Returns the proportional set size of a process and all below it, bytes; 0 once it is gone."""
    try:
        parent = psutil.Process(pid)
        tree = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(map(_proportional, tree))


def _proportional(process: psutil.Process) -> int:
    # A process may end between being listed and being looked at.
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return process.memory_full_info().pss
    return 0


def _tail(file: IO[str], characters: int = 3000) -> str:
    file.seek(0)
    return file.read()[-characters:]
