"""The launcher's side of its worker processes: starts them, hands out work items, replaces the dead.

Python's threads take turns, so that two of them score hardly faster than one; processes do not. They are
started anew and never forked: the launcher runs threads. A worker ends with its launcher, however that
ends, because the connection between them does. One that dies is replaced and its work items are scored
again, which changes nothing that it may have written.
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
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import Final, Self

from digitmill.imaging.guard import module_path
from digitmill.storage import open_folder
from pipelines.listing.frozen_listing import ItemRef, load_item
from pipelines.scoring.scoring_task import ITEMS_IN_FLIGHT, ScoringTask
from pipelines.workers import messages
from schemas.errors import WorkerError

ATTEMPTS: Final = 3
"""Worker processes that may die of one work item before the run gives it up."""

_COMMAND: Final = (sys.executable, "-P", "-m", "pipelines.workers.process")
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""NumPy's own threads would only be in the way of the other processes; memory is all that they cost."""


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
                # A group of its own: Ctrl-C is for the launcher, whose end ends the workers too. No session
                # of its own: Linux shares cores between sessions, and the workers would outweigh the rest.
                process_group=0,
            )
        finally:
            for connection in (theirs, *(pair[1] for pair in pairs)):
                connection.close()
        self._control = control
        self.lanes = [_Lane(self, pair[0]) for pair in pairs]
        self.pid = self._process.pid
        self.gone = False

    def assign(self, task: bytes) -> None:
        with contextlib.suppress(OSError):  # it has died; whoever asks it first finds out how
            self._control.send_bytes(task)

    def end(self) -> int:
        """Ends it, if it still lives; returns its exit code, or a signal's number below 0."""
        self.gone = True
        self._process.kill()
        return self._process.wait()


class _Lane:
    """A way to one process, for one work item at a time."""

    def __init__(self, process: _Process, connection: Connection) -> None:
        self.process = process
        self.connection = connection

    def ask(self, question: bytes) -> bytes:
        self.connection.send_bytes(question)
        return self.connection.recv_bytes()


class WorkerPool:
    """Scores work items in processes of their own; an `ItemScorer`, which threads share.

    Args:
        processes: how many.
        lanes: work items that each has under way at once.
        command: what to run instead of `python -m pipelines.workers.process`.

    Attributes:
        processes: how many.
        in_flight: work items that all of them have under way at once.
    """

    def __init__(
        self, processes: int, *, lanes: int = ITEMS_IN_FLIGHT, command: Sequence[str] = _COMMAND
    ) -> None:
        self.processes = processes
        self.in_flight = processes * lanes
        self._lanes = lanes
        self._command = command
        self._processes: list[_Process] = []
        self._idle: queue.SimpleQueue[_Lane | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._alone = threading.Lock()
        self._task: ScoringTask | None = None
        self._begun: dict[ItemRef, Future[str]] = {}
        self._threads = ThreadPoolExecutor(self.in_flight, thread_name_prefix="begun")
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that live, or are thought to."""
        return tuple(process.pid for process in self._processes)

    def start(self) -> None:
        """Starts the processes, unless that is done: they get ready while the launcher does."""
        with self._lock:
            new = []
            while len(self._processes) < self.processes:
                new.append(self._new(self._lanes))
                self._processes.append(new[-1])
            # The first lanes of all processes, then the second ones: few items are spread over all of them.
            for lane in itertools.chain.from_iterable(zip(*(process.lanes for process in new), strict=True)):
                self._idle.put(lane)

    def assign(self, task: ScoringTask) -> None:
        """Tells the processes, which are started if they are not, what work items are scored by; once."""
        if self._task is not None:
            return
        self.start()
        # What a machine asks of a store does not grow with its processes.
        limits = dataclasses.replace(task.limits, processes=self.processes)
        with self._lock:
            self._task = dataclasses.replace(task, limits=limits)
            for process in self._processes:
                process.assign(pickle.dumps(self._task))

    def begin(self, ref: ItemRef) -> None:
        """Begins with an item; whoever runs it later gets what came of it."""
        self._begun[ref] = self._threads.submit(self._score, ref)

    def run(self, ref: ItemRef) -> str:
        """Returns the digest of an item that is scored and written.

        Raises:
            UserError, StorageError, EngineError: that the worker met.
            WorkerError: when one process after the other died of it, or the pool is closed.
        """
        begun = self._begun.pop(ref, None)
        try:
            return self._score(ref) if begun is None else begun.result()
        except CancelledError:
            raise _closed(ref) from None

    def _score(self, ref: ItemRef) -> str:
        question = messages.request(ref)
        lane = self._take(ref)
        try:
            answer = lane.ask(question)
        except (EOFError, OSError):
            # It may have died of another item that it had under way.
            return messages.digest_of(self._ask_alone(ref, question, self._replace(lane.process)))
        self._idle.put(lane)
        return messages.digest_of(answer)

    def close(self) -> None:
        """Ends the processes, in the middle of whatever they do; who waits for them gets a WorkerError."""
        # First of all what waits: whatever interrupts the rest, nothing more is begun.
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            processes, self._processes = self._processes, []
            for process in processes:
                process.end()
        self._idle.put(None)
        self._threads.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self) -> None:
        process = self._new(self._lanes)
        self._processes.append(process)
        for lane in process.lanes:
            self._idle.put(lane)

    def _new(self, lanes: int) -> _Process:
        process = _Process(self._command, lanes)
        if self._task is not None:
            process.assign(pickle.dumps(self._task))
        return process

    def _take(self, ref: ItemRef) -> _Lane:
        while True:
            lane = self._idle.get()
            if lane is None:
                self._idle.put(None)  # for the next who waits
                raise _closed(ref)
            if not lane.process.gone:
                return lane

    def _ask_alone(self, ref: ItemRef, question: bytes, ended: int) -> bytes:
        """Returns the answer of a process that has nothing else to do, so that it dies of nothing else."""
        deaths = [ended]
        while len(deaths) < ATTEMPTS:
            # One after the other: if memory is what is short, more processes would make it shorter.
            with self._alone:
                process = self._begin(ref)
                try:
                    return process.lanes[0].ask(question)
                except (EOFError, OSError):
                    deaths.append(process.end())
                finally:
                    self._finish(process)
        raise self._gives_up(ref, deaths)

    def _begin(self, ref: ItemRef) -> _Process:
        with self._lock:
            if self._closed:
                raise _closed(ref)
            process = self._new(lanes=1)
            self._processes.append(process)
            return process

    def _finish(self, process: _Process) -> None:
        process.end()
        with self._lock:
            if process in self._processes:
                self._processes.remove(process)

    def _replace(self, process: _Process) -> int:
        """Puts a new process in a dead one's place, if nobody has; returns how it ended."""
        with self._lock:
            fresh = process in self._processes and not self._closed
            ended = process.end()
            if fresh:
                self._processes.remove(process)
                self._add()
            return ended

    def _gives_up(self, ref: ItemRef, deaths: list[int]) -> WorkerError:
        how = ", ".join(signal.Signals(-code).name if code < 0 else f"exit code {code}" for code in deaths)
        return WorkerError(
            "a worker process lives until its work item is done",
            value=self._described(ref),
            hint=f"{len(deaths)} died of it ({how}): give them more memory, or fewer --workers",
        )

    def _described(self, ref: ItemRef) -> str:
        name, number = ref
        if self._task is None:
            return f"{name}, {number}"
        images = load_item(open_folder(self._task.output), ref).images
        return f"{name}, {number}: {len(images):,} images from {images[0].uri}"


def _closed(ref: ItemRef) -> WorkerError:
    return WorkerError(
        "worker processes live as long as the run", value=ref, hint="go on with it by --resume"
    )
