"""Keeps TensorFlow's start-up chatter off the terminal."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Holds back what is written to standard error, by native code too; shows it only on an error.

    TensorFlow 2.21 writes six lines at every start whatever TF_CPP_MIN_LOG_LEVEL says, and its
    LiteRT converter writes more. Not for several threads at once: the descriptor is the process's.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
