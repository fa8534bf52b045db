"""Runs a command as a process of its own and measures it from its start to its exit."""

import contextlib
import dataclasses
import os
import pathlib
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import psutil

ROOT: Final = pathlib.Path(__file__).resolve().parents[1]
"""Where commands run: `python -m` takes the code of the current folder."""

_SAMPLE_SECONDS: Final = 0.2
_TAIL: Final = 3000
"""Characters of standard error in the message about a command that failed."""


@dataclasses.dataclass(frozen=True)
class Finished:
    """A process that has ended well.

    Attributes:
        output: what it printed on standard output.
        seconds: from its start to its exit.
        processor_seconds: user and system time, its own and that of the children it waited for.
        peak_bytes: greatest sample of its memory; 0 where it was not sampled.
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
    memory: Callable[[int], int] | None = None,
) -> Finished:
    """Run a command and return what it took.

    Args:
        command: program and arguments.
        environment: variables besides this process's own.
        cores: how many of this process's cores it may use; all when None.
        memory: samples its memory, as `memory_of` and `own_memory` do, which costs the machine some time.

    Raises:
        CommandError: when it cannot be started or fails.
    """
    arguments = [str(argument) for argument in command]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        before, started = _processor_seconds(), time.perf_counter()
        try:
            with on_cores(cores):
                process = psutil.Popen(
                    arguments,
                    stdout=output,
                    stderr=errors,
                    stdin=subprocess.DEVNULL,
                    cwd=ROOT,
                    env={**os.environ, **(environment or {})},
                )
        except OSError as error:
            raise CommandError(f"{arguments[0]} does not start: {error}") from error
        try:
            code, peak = _wait(process, memory=memory)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        seconds = time.perf_counter() - started
        for file in (output, errors):
            file.seek(0)
        if code:
            raise CommandError(f"{' '.join(arguments)} ended with {code}:\n{errors.read()[-_TAIL:]}")
        return Finished(output.read(), seconds, _processor_seconds() - before, peak)


def _wait(process: psutil.Popen, *, memory: Callable[[int], int] | None) -> tuple[int, int]:
    """Return a process's exit code, and the greatest memory that was seen until then."""
    peak = 0
    while True:
        if memory is not None:
            peak = max(peak, memory(process.pid))
        with contextlib.suppress(psutil.TimeoutExpired):
            return int(process.wait(None if memory is None else _SAMPLE_SECONDS)), peak


def _processor_seconds() -> float:
    """Return the processor time of all children that have ended and been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def on_cores(count: int | None) -> Iterator[None]:
    """Context manager that pins processes started by this thread to its first `count` usable cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def memory_of(pid: int) -> int:
    """Return the proportional set size of a process and all below it, bytes; 0 once it is gone.

    A page that several processes share counts once.
    """
    return _sum(pid, lambda process: process.memory_full_info().pss)


def own_memory(pid: int) -> int:
    """Return the memory of a process and all below it without mapped files, bytes; 0 once it is gone."""
    return _sum(pid, _own)


def _own(process: psutil.Process) -> int:
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return sum(int(fields.get(name, "0").split()[0]) for name in ("RssAnon", "RssShmem")) * 2**10


def _sum(pid: int, of: Callable[[psutil.Process], int]) -> int:
    total = 0
    # A process may end between being listed and being looked at.
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
                total += of(process)
    return total
