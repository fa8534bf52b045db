"""Keeps TensorFlow's start-up chatter off the terminal."""

import contextlib
import os
from collections.abc import Iterator

from digitmill.commands.native_log import LEVEL
from digitmill.commands.native_log import held as quiet_stderr

__all__ = ["quiet_start", "quiet_stderr"]


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Context manager for a process's first import of TensorFlow; who sets its log level has it."""
    os.environ.setdefault(LEVEL, "2")
    with quiet_stderr():
        yield
