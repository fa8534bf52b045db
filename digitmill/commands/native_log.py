"""Keeps what native libraries say at their start off standard error, and lets through all else.

TensorFlow 2.21, oneDNN, XLA and LiteRT write to descriptor 2 itself, before and whatever
TF_CPP_MIN_LOG_LEVEL says. A process beside this one reads that descriptor line by line: it outlives a
crash, whose last words it hands on. Python's own `sys.stderr` goes past it, straight to the terminal.
"""

import contextlib
import io
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Final, NoReturn, TextIO

LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"
"""Whoever sets it wants to see what TensorFlow says, and sees all of it."""

_NOISE: Final = re.compile(
    rb"""
    (?:\d{4}-\d\d-\d\d\ [\d:.]+:\ )?I\d*\ .*\.(?:cc|cu|h|cpp):\d+\]    # native information, in both styles
    | WARNING:\ All\ log\ messages\ before\ absl::InitializeLog
    | INFO:\ (?:Created|Initialized)\ TensorFlow\ Lite
    | To\ enable\ the\ following\ instructions:.*rebuild\ TensorFlow
    | .*\bE\d*\ .*oneDNN\ supports\ DT_INT64\ only
    | .*\b[EW]\d*\ .*(?:Unable\ to\ register\ cu|computation\ placer\ already\ registered)
    | .*\bW\d*\ .*(?:TF-TRT\ Warning|Could\ not\ find\ cuda\ drivers)
    | .*\bW\d*\ .*Ignored\ (?:output_format|drop_control_dependency)
    """,
    re.VERBOSE,
)

# What steers the filter; no library writes a NUL.
_HOLD: Final = b"\0hold\n"
_SHOW: Final = b"\0show\n"
_DROP: Final = b"\0drop\n"


class _Installed:
    """The filter of this process.

    Attributes:
        terminal: descriptor that standard error had; None where there is no filter.
        native: writes to descriptor 2, as native code does.
        holds: how many `held` are open; the outermost one decides.
    """

    terminal: int | None = None
    native: TextIO
    holds: int = 0


def install() -> None:
    """Begins to filter descriptor 2, where it is the process's own standard error.

    Call it before any thread begins. It does nothing a second time, under a test's capture, and where
    TF_CPP_MIN_LOG_LEVEL is set.
    """
    if _Installed.terminal is not None or LEVEL in os.environ or not _is_plain(sys.stderr):
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(writing)
        _run(reading, terminal)
    os.close(reading)
    os.dup2(writing, 2)
    os.close(writing)
    # Text that Python writes needs no filter, and progress bars need a terminal.
    sys.stderr, _Installed.native = _writer(terminal), _writer(2)
    _Installed.terminal = terminal


def _writer(descriptor: int) -> TextIO:
    encoding = sys.__stderr__.encoding if sys.__stderr__ else None
    return open(descriptor, "w", buffering=1, encoding=encoding, errors="backslashreplace", closefd=False)


def uninstall() -> None:
    """Gives descriptor 2 back, for a program that takes this process over."""
    if _Installed.terminal is not None:
        sys.stderr.flush()
        os.dup2(_Installed.terminal, 2)
        os.environ.pop(LEVEL, None)
        _Installed.terminal = None


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Holds back what is written to standard error, by native code too; shows it only on an error.

    TensorFlow's imports and its converter say much that is of no use where they succeed. With the
    filter in place a crash shows it as well. Not for several threads at once: the descriptor is the
    process's.
    """
    with _held_by_filter() if _Installed.terminal is not None else _held_in_file():
        yield


@contextlib.contextmanager
def _held_by_filter() -> Iterator[None]:
    _Installed.holds += 1
    _steer(_HOLD)
    try:
        with contextlib.redirect_stderr(_Installed.native):
            yield
    except BaseException:
        _steer(_SHOW)
        raise
    else:
        _steer(_DROP)
    finally:
        _Installed.holds -= 1


def _steer(mark: bytes) -> None:
    if _Installed.holds == 1:
        _Installed.native.flush()
        os.write(2, mark)


@contextlib.contextmanager
def _held_in_file() -> Iterator[None]:
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


def _is_plain(stream: object) -> bool:
    try:
        return isinstance(stream, io.TextIOWrapper) and stream is sys.__stderr__ and stream.fileno() == 2
    except (OSError, ValueError):
        return False


def _run(reading: int, terminal: int) -> NoReturn:
    """Is the filter until nobody writes any more."""
    # Ctrl-C and a cluster's SIGTERM are meant for the process that is filtered; its end is this one's.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        # Whoever reads standard output waits for its end, and must not wait for this process.
        for other in (0, 1, 2):
            os.close(other)
        with os.fdopen(reading, "rb") as lines:
            for shown in filtered(lines):
                os.write(terminal, shown)
    finally:
        os._exit(0)


def filtered(lines: Iterator[bytes] | io.BufferedReader) -> Iterator[bytes]:
    """Yields what is shown of what was written to the descriptor, as it comes.

    What is held back when the writer ends without a word is what it said last: it is shown.
    """
    kept: list[bytes] | None = None
    for line in lines:
        # A mark may follow what was written without an end of line.
        text, mark, _ = line.partition(b"\0") if line.endswith((_HOLD, _SHOW, _DROP)) else (line, b"", b"")
        if not text:
            pass
        elif kept is not None:
            kept.append(text)
        elif not _NOISE.match(text):
            yield text
        if not mark:
            continue
        if line.endswith(_SHOW):
            yield from kept or ()
        kept = [] if line.endswith(_HOLD) else None
    yield from kept or ()
