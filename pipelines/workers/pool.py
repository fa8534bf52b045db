"""The launcher's pool of worker processes: starts them, gives them work items, replaces those that die.

Two Python threads contend for the GIL and score hardly faster than one; two processes do not. Processes are
spawned instead of forked, because the launcher has threads. A worker exits when its launcher ends, in
any way, because their connection breaks. A worker that dies is replaced and its work items are scored again:
files are written once, so what it had written stays as it is.
"""

import contextlib
import dataclasses
import itertools
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from typing import Final, NamedTuple, Self

from digitmill.imaging.guard import module_path
from digitmill.storage import open_folder
from pipelines.listing.frozen_listing import ItemRef, load_item
from pipelines.scoring.scoring_task import ITEMS_IN_FLIGHT, ScoringTask
from pipelines.workers import messages
from schemas.errors import WorkerError, counted

ATTEMPTS: Final = 3
"""Worker processes that may die of one work item before the run gives it up."""

_COMMAND: Final = (sys.executable, "-P", "-m", "pipelines.workers.process")
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""NumPy's own threads would compete with the other processes and take memory."""


class _Process:
    """One worker process and its connections."""

    def __init__(self, command: Sequence[str], lanes: int) -> None:
        control, theirs = Pipe()
        pairs = [Pipe() for _ in range(lanes)]
        numbers = [pair[1].fileno() for pair in pairs]
        try:
            self._process = subprocess.Popen(
                [*command, *map(str, numbers)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                pass_fds=numbers,
                env=_ONE_THREAD | os.environ | {"PYTHONPATH": module_path()},
                # Its own group: Ctrl-C is for the launcher, whose end ends the workers too. Not its own
                # session: Linux shares CPUs between sessions, and the workers would outweigh the rest.
                process_group=0,
            )
        finally:
            for connection in (theirs, *(pair[1] for pair in pairs)):
                connection.close()
        self._control = control
        self.lanes = [_Lane(self, pair[0]) for pair in pairs]
        self.pid = self._process.pid
        self.ended = False

    def assign(self, task: bytes) -> None:
        with contextlib.suppress(OSError):  # it has died, as the first request to it finds out
            self._control.send_bytes(task)

    def end(self) -> int:
        """Kill the process if it is alive; return its exit code, or a signal's number below 0."""
        self.ended = True
        self._process.kill()
        return self._process.wait()


class _Lane(NamedTuple):
    """A connection to one process, for one work item at a time."""

    process: _Process
    connection: Connection

    def request(self, message: bytes) -> bytes:
        """Send a request and wait for the response; EOFError or OSError when the process dies of it."""
        self.connection.send_bytes(message)
        return self.connection.recv_bytes()


class WorkerPool:
    """Scores work items in worker processes; an `ItemScorer`.

    `lanes` are the work items that each process scores at once. Thousands of items may be pending, 2 KB of
    memory each, so that listing runs far ahead of scoring.
    """

    max_pending = 4_096

    def __init__(
        self, processes: int, *, lanes: int = ITEMS_IN_FLIGHT, command: Sequence[str] = _COMMAND
    ) -> None:
        self.processes = processes
        self._lanes = lanes
        self._command = command
        self._processes: list[_Process] = []
        self._idle: queue.SimpleQueue[_Lane | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._alone = threading.Lock()
        self._task: ScoringTask | None = None
        # Each thread waits for the one item that it has given to a process.
        self._threads = ThreadPoolExecutor(processes * lanes, thread_name_prefix="worker")
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that are alive, as far as known."""
        return tuple(process.pid for process in self._processes)

    def start(self) -> None:
        """Start the processes, unless done, so that they get ready while the launcher does."""
        with self._lock:
            new = []
            while len(self._processes) < self.processes:
                new.append(self._new(self._lanes))
                self._processes.append(new[-1])
            # The first lanes of all processes, then the second ones: few items are spread over all of them.
            for lane in itertools.chain.from_iterable(zip(*(process.lanes for process in new), strict=True)):
                self._idle.put(lane)

    def assign(self, task: ScoringTask) -> None:
        """Send the processes the parameters of the scoring, once; start the processes if they are not."""
        if self._task is not None:
            return
        self.start()
        # The request rate of a machine does not grow with its processes.
        limits = dataclasses.replace(task.limits, processes=self.processes)
        with self._lock:
            self._task = dataclasses.replace(task, limits=limits)
            for process in self._processes:
                process.assign(pickle.dumps(self._task))

    def submit(self, ref: ItemRef) -> Future[str]:
        """Queue an item for the next free process; the future's result is its digest, once it is written.

        The future may raise:
            UserError, StorageError, EngineError: errors of the worker.
            WorkerError: when the item killed several processes in turn, or the pool is closed.
        """
        if self._closed:
            raise _closed(ref)
        return self._threads.submit(self._score, ref)

    def cancel(self, pending: Iterable[Future[str]]) -> None:
        """Cancel queued items; items being scored are ended by `close`."""
        for future in pending:
            future.cancel()

    def close(self) -> None:
        """End the processes, busy or not; callers that wait for them get a WorkerError."""
        self._closed = True
        with self._lock:
            processes, self._processes = self._processes, []
            for process in processes:
                process.end()
        self._idle.put(None)
        self._threads.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _score(self, ref: ItemRef) -> str:
        message = messages.encode_request(ref)
        lane = self._take(ref)
        try:
            response = lane.request(message)
        except (EOFError, OSError):
            # It may have died of another item that it was scoring.
            return messages.parse_response(self._retry_alone(ref, message, self._replace(lane.process)))
        self._idle.put(lane)
        return messages.parse_response(response)

    def _take(self, ref: ItemRef) -> _Lane:
        while True:
            lane = self._idle.get()
            if lane is None or self._closed:
                self._idle.put(None)  # for the next who waits
                raise _closed(ref)
            if not lane.process.ended:
                return lane

    def _retry_alone(self, ref: ItemRef, message: bytes, ended: int) -> bytes:
        """Return the response of a new process that scores only this item: no other item can kill it."""
        deaths = [ended]
        while len(deaths) < ATTEMPTS:
            # One after the other: if memory is short, more processes would make it shorter.
            with self._alone:
                process = self._add(ref)
                try:
                    return process.lanes[0].request(message)
                except (EOFError, OSError):
                    deaths.append(process.end())
                finally:
                    self._remove(process)
        raise self._poisonous(ref, deaths)

    def _new(self, lanes: int) -> _Process:
        process = _Process(self._command, lanes)
        if self._task is not None:
            process.assign(pickle.dumps(self._task))
        return process

    def _add(self, ref: ItemRef) -> _Process:
        with self._lock:
            if self._closed:
                raise _closed(ref)
            process = self._new(lanes=1)
            self._processes.append(process)
            return process

    def _remove(self, process: _Process) -> None:
        process.end()
        with self._lock:
            if process in self._processes:
                self._processes.remove(process)

    def _replace(self, process: _Process) -> int:
        """Put a new process in a dead one's place if nobody has; return how the dead one ended."""
        with self._lock:
            ended = process.end()
            if process in self._processes and not self._closed:
                self._processes.remove(process)
                fresh = self._new(self._lanes)
                self._processes.append(fresh)
                for lane in fresh.lanes:
                    self._idle.put(lane)
            return ended

    def _poisonous(self, ref: ItemRef, deaths: list[int]) -> WorkerError:
        ends = ", ".join(signal.Signals(-code).name if code < 0 else f"exit code {code}" for code in deaths)
        return WorkerError(
            f"a work item ended {len(deaths)} worker processes ({ends})",
            value=self._describe(ref),
            hint="give them more memory, or use fewer --workers",
        )

    def _describe(self, ref: ItemRef) -> str:
        name, number = ref
        if self._task is None:
            return f"{name}, {number}"
        images = load_item(open_folder(self._task.output), ref).images
        return f"{name}, {number}: {counted(len(images), 'image')} from {images[0].uri}"


def _closed(ref: ItemRef) -> WorkerError:
    return WorkerError("the worker processes were stopped", value=ref, hint="resume the run with --resume")
