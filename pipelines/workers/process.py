"""A worker process: scores the work items that its launcher names, until the launcher is gone.

Usage: python -m pipelines.workers.process FD...

Each file descriptor is a connection on which the launcher asks for one work item at a time; standard
input is one more, on which the task comes and then nothing, until the launcher closes it or dies.
Beam is not imported here: that is 0.2 s and 67 MB a process instead of 1.6 s and 240 MB.
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
    """Answers one request after the other until the launcher is gone."""
    while True:
        try:
            ref = messages.requested(connection.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            answer = messages.done(score(ref))
        except Exception as error:  # whatever it is, the launcher is told, and decides
            answer = messages.failed(error)
        connection.send_bytes(answer)


def _scoring(task: bytes) -> Score:
    """Returns what scores items; a model that cannot be loaded is the answer to every request."""
    try:
        # From the very process that started this one, and from nobody else.
        return LocalScorer(pickle.loads(task)).run
    except Exception as error:
        refusal = error

    def refuse(ref: ItemRef) -> str:
        raise refusal

    return refuse


def main(arguments: list[str]) -> None:
    """Serves the launcher on the given file descriptors."""
    launcher = Connection(0)
    try:
        score = _scoring(launcher.recv_bytes())
        for number in map(int, arguments):
            threading.Thread(target=serve, args=(Connection(number), score), daemon=True).start()
        launcher.recv_bytes()
    except (EOFError, OSError):
        # In the middle of whatever is under way: nobody would hear of it, and half-written files are none.
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
