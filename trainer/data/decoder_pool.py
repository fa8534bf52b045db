"""Decodes chunks of a source on all cores, in order.

Few images are decoded in threads, which start at once. Many images are decoded in processes, because most of
the work holds the GIL. A process ends when its caller ends for any reason, because their connection breaks.
"""

import collections
import concurrent.futures
import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection, Pipe
from typing import Any, Final

from digitmill import machine
from digitmill.imaging.guard import module_path
from schemas.errors import ERRORS, WorkerError
from trainer.data import decode_worker
from trainer.data.share import Share

MANY: Final = 50_000
"""Images from which on processes are worth their start, about a second."""

_MOST: Final = 16
"""Processes: the one that hands them their work keeps no more busy."""

_COMMAND: Final = (sys.executable, "-P", "-m", "trainer.data.decode_worker")
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

Prepare = Callable[[Any], Share]
"""From a chunk, as a `ReadPlan` yields it, to what it adds to a share."""

Preparation = Callable[[int], contextlib.AbstractContextManager[Prepare]]
"""Opens a `Prepare`, given the number of processes that have one; a picklable one."""


def decode_all(preparation: Preparation, chunks: Iterable[Any], *, images: int) -> Generator[Share]:
    """Yield what each chunk adds to a share, in order.

    Args:
        preparation: opens what decodes a chunk.
        chunks: taken as they are needed, a few ahead.
        images: approximate number of images of all chunks.

    Raises:
        WorkerError: if a process dies.
    """
    cores = machine.cpu_count()
    with contextlib.ExitStack() as stack:
        if cores > 1 and images >= MANY:
            cores = min(cores, _MOST)
            work: Prepare = stack.enter_context(_Processes(preparation, cores))
        else:
            work = stack.enter_context(preparation(1))
        pool = concurrent.futures.ThreadPoolExecutor(cores)
        # Without waiting: after an error or a signal, threads wait for processes, which end next.
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        yield from _map_ordered(pool, work, chunks, ahead=2 * cores)


def _map_ordered(
    pool: concurrent.futures.Executor, work: Prepare, items: Iterable[Any], *, ahead: int
) -> Iterator[Share]:
    """Yield results in order, with at most that many items in progress ahead of them."""
    # Executor.map would submit all items, and keep all results, at once.
    pending: collections.deque[concurrent.futures.Future[Share]] = collections.deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class _Processes:
    """Decoder processes; each thread that calls has one of them for the time of the call."""

    def __init__(self, preparation: Preparation, count: int) -> None:
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._processes: list[subprocess.Popen] = []
        task = pickle.dumps((preparation, count))
        for _ in range(count):
            ours, theirs = Pipe()
            with theirs:
                process = subprocess.Popen(
                    _COMMAND,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=_ONE_THREAD | os.environ | {"PYTHONPATH": module_path()},
                    # Its own group: Ctrl-C is for the caller, whose end ends the process too.
                    process_group=0,
                )
            self._processes.append(process)
            with contextlib.suppress(OSError):  # it has died, as the first chunk finds out
                ours.send_bytes(task)
            self._idle.put(ours)

    def __call__(self, chunk: Any) -> Share:
        connection = self._idle.get()
        try:
            connection.send_bytes(pickle.dumps(chunk))
            reply = connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise WorkerError(
                "a decoder process died",
                value="killed or crashed",
                hint="start again; if it was killed for memory, give the job more",
            ) from error
        finally:
            self._idle.put(connection)
        return _parse(reply)

    def __enter__(self) -> "_Processes":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


def _parse(reply: bytes) -> Share:
    kind, rest = reply[:1], memoryview(reply)[1:]
    if kind == decode_worker.SHARE:
        return Share.from_bytes(rest)
    found = json.loads(bytes(rest))
    if kind == decode_worker.REFUSED:
        kind, fields = found
        raise ERRORS[kind](**fields)
    raise RuntimeError(f"decoding failed in a process:\n{found}")
