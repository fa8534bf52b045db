"""Trains a study's trials in several processes of this machine, each with its share of GPUs and cores."""

import contextlib
import multiprocessing
import os
import pkgutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Final

from digitmill.native_log import quiet_start
from schemas.errors import ActionableError, ExitCode, JobFailedError, UserError, WorkerError
from trainer.loop.actions.preemption import PreemptedError
from trainer.tuning.tune_options import TuneOptions

_GPUS: Final = "CUDA_VISIBLE_DEVICES"
_THREADS: Final = "TF_NUM_INTRAOP_THREADS"

_GRACE: Final = 60.0
"""Seconds from SIGTERM to SIGKILL: a step may take some, and one that hangs never ends."""


class ProcessError(JobFailedError):
    """A process of the search failed; text and exit code are those of its error."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def shares(
    count: int,
    *,
    gpus: int,
    cores: int,
    replicas: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> list[dict[str, str]]:
    """Return the environment variables by which each process gets its part of a machine.

    Args:
        count: number of processes.
        gpus: GPUs that are visible.
        cores: cores that this process may use.
        replicas: GPUs of each process; None for as many as there are for each.
        environment: this process's, which may show it some of the machine's GPUs only.

    Raises:
        UserError: if there are GPUs, but not enough.
    """
    each = replicas or max(1, gpus // count)
    if gpus and each * count > gpus:
        raise UserError(
            f"--parallel needs {each} GPU{'s' if each > 1 else ''} per process, but {gpus} are visible",
            value=count,
            hint=f"give --parallel {max(1, gpus // each)}",
        )
    visible = [name for name in environment.get(_GPUS, "").split(",") if name] or list(map(str, range(gpus)))
    found = []
    for number in range(count):
        found.append({_THREADS: str(max(1, cores // count))})
        if gpus:
            found[-1][_GPUS] = ",".join(visible[number * each : (number + 1) * each])
    return found


def run(
    work: Callable[[TuneOptions], object], options: TuneOptions, environments: Sequence[Mapping[str, str]]
) -> None:
    """Call a module's function in a process of its own for each environment, and wait for them.

    Raises:
        ProcessError: with the first error of a process; the other processes finish first.
        WorkerError: if a process died.
        KeyboardInterrupt: on a stop signal, after the processes have ended.
    """
    # A fork would share TensorFlow's threads and devices.
    context = multiprocessing.get_context("spawn")
    errors: SimpleQueue[tuple[str, int]] = context.SimpleQueue()
    children: list[BaseProcess] = []
    try:
        for environment in environments:
            with _changed(environment):
                child = context.Process(
                    target=_call, args=(f"{work.__module__}:{work.__name__}", options, errors)
                )
                child.start()
            children.append(child)
        for each in children:
            each.join()
    finally:
        _end(children)
    if not errors.empty():
        raise ProcessError(*errors.get())
    if codes := [code for each in children if (code := each.exitcode)]:
        raise WorkerError(
            f"{len(codes)} of {len(children)} processes of the search died",
            value=f"exit code {codes[0]}",
            hint="finished trials are kept. Give --resume, with a smaller --parallel if memory was short",
        )


def _end(children: Sequence[BaseProcess]) -> None:
    """End processes that still run; a trial loses nothing by it that a stop would keep."""
    for each in children:
        if each.is_alive():
            each.terminate()
    deadline = time.monotonic() + _GRACE
    for each in children:
        each.join(max(0.0, deadline - time.monotonic()))
        if each.is_alive():
            each.kill()
            each.join()


def _end_with_parent() -> None:
    """End this process once the search's first one is gone: nobody would stop it, and it holds GPUs."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "run by another process"

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _call(work: str, options: TuneOptions, errors: SimpleQueue) -> None:
    _end_with_parent()
    try:
        with quiet_start():
            function = pkgutil.resolve_name(work)
        function(options)
    except (PreemptedError, KeyboardInterrupt):
        sys.exit(ExitCode.TERMINATED)
    except ActionableError as error:
        errors.put((str(error), int(ExitCode.USAGE if isinstance(error, UserError) else ExitCode.CRASHED)))
    except JobFailedError as error:
        errors.put((str(error), int(error.code)))


@contextlib.contextmanager
def _changed(environment: Mapping[str, str]) -> Iterator[None]:
    """Context in which this process, and what it starts, has other environment variables."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
