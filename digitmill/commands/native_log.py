"""Keeps what native libraries say while they load off standard error, unless loading fails.

TensorFlow, oneDNN, XLA and absl write to descriptor 2 itself, before and whatever TF_CPP_MIN_LOG_LEVEL says.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Final

LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"
"""Environment variable: what TensorFlow logs, from 0 for all to 3 for fatal errors only."""


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Context manager for a process's first import of TensorFlow, which logs errors only from then on.

    Whoever sets TF_CPP_MIN_LOG_LEVEL sees what they have set it to.
    """
    os.environ.setdefault(LEVEL, "2")
    with quiet_stderr():
        yield


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Context manager that holds standard error back, and shows it only on an exception.

    It holds back native code and child processes too. Not for several threads at once: the descriptor is
    the process's.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            file.seek(0)
            os.write(saved, file.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
