"""Launches the command in processes that begin at once, so that tests can kill many of them.

Importing Beam takes seconds. A fork server imports it once; each launch is a process of its own.
"""

import atexit
import multiprocessing
import os
import pathlib
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["pipelines.score.score_job", "pipelines.score.preview", "digitmill.cli", "cv2"]
)


def launch(
    arguments: Sequence[object], log: pathlib.Path, *, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Start `digitmill ARGUMENTS`, with what it prints in a file."""
    process = _CONTEXT.Process(target=_main, args=([*map(str, arguments)], str(log), dict(environment or {})))
    process.start()
    return process


def _main(arguments: list[str], log: str, environment: dict[str, str]) -> None:
    from digitmill.cli import main

    os.environ.update(environment)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    try:
        main(arguments)
    finally:
        # A forked process ends without these, and Beam leaves job servers behind then.
        atexit._run_exitfuncs()
