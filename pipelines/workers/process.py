"""A worker process: scores the work items that its launcher sends, until the launcher ends.

Usage: python -m pipelines.workers.process FD...

Each file descriptor is a connection that carries one request at a time. Standard input is one more: it
carries the task, then nothing until the launcher closes it or dies.
Beam is not imported here: a process starts in 0.2 s with 67 MB instead of 1.6 s with 240 MB.
"""

import os
import pickle
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

from pipelines.listing.frozen_listing import ItemRef
from pipelines.scoring.scoring_task import LocalScorer
from pipelines.workers import messages

Score = Callable[[ItemRef], str]


def serve(connection: Connection, score: Score) -> None:
    """Respond to one request after the other until the launcher ends."""
    while True:
        try:
            ref = messages.parse_request(connection.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            response = messages.encode_digest(score(ref))
        except Exception as error:  # any error is sent to the launcher, which decides
            response = messages.encode_error(error)
        connection.send_bytes(response)


def _make_score(task: bytes) -> Score:
    """Return the function that scores items; after a failed start it raises that error every time."""
    try:
        # From the process that started this one, and from nobody else.
        return LocalScorer(pickle.loads(task)).run
    except Exception as error:
        failure = error

    def fail(ref: ItemRef) -> str:
        raise failure

    return fail


def main(arguments: list[str]) -> None:
    """Serve the launcher on the given file descriptors."""
    launcher = Connection(0)
    try:
        score = _make_score(launcher.recv_bytes())
        for number in map(int, arguments):
            threading.Thread(target=serve, args=(Connection(number), score), daemon=True).start()
        launcher.recv_bytes()
    except (EOFError, OSError):
        # Exit now, even in the middle of an item: nobody reads the response, and writes are atomic.
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
