"""Messages between a process and its decoder process.

A message is a letter, a length and that many bytes. It does not use pickle, so a decoder compromised by an
image can do nothing worse than return a wrong picture.

A request is a file with a range of pages. The replies are the number of pages, omitted for one, and then each
requested page or its error.
"""

import socket
import struct
from collections.abc import Callable
from typing import Final

import numpy as np

from digitmill.imaging.limits import MAX_PIXELS
from schemas.failure import FailureCode, ImageError

FRAME: Final = struct.Struct(">cI")
"""Head of a message: its letter, and the length of its content."""

WANTED: Final = struct.Struct(">II")
"""Begins a request: the first page that is wanted, from 0, and how many pages at most."""

COUNT: Final = struct.Struct(">I")
"""Content of `PAGES`."""

SHAPE: Final = struct.Struct(">c3xIII")
"""Depth, height, width and channels; 16 bytes, so that the pixels behind it are aligned."""

_CHANNELS: Final = (0, 3, 4)
"""Length of the last axis; 0 where there is none."""

_DEPTHS: Final[dict[bytes, np.dtype]] = {b"B": np.dtype(np.uint8), b"H": np.dtype(np.uint16)}

_SMALL: Final = 2**16

_MOST_REPLY: Final = MAX_PIXELS * 8 + SHAPE.size

PIXELS: Final = b"P"
"""Request and reply: pages' pixels."""

DIGIT: Final = b"D"
"""Request and reply: pages' canonical digits."""

PAGES: Final = b"N"
"""Reply: the number of pages, if there are several."""

ERROR: Final = b"E"
"""Reply: the code and detail of a page's failure."""

NO_FILE: Final = b"F"
"""Reply, and the last one: the code and detail of a file's failure, whose pages cannot be counted."""

NO_MEMORY: Final = b"M"
"""Reply: a page takes more memory than the decoder may use."""

LACK: Final = b"L"
"""Reply: what the machine lacks, without which the decoder cannot work."""

READY: Final = b"R"
"""The process has started."""

Tick = Callable[[], None]
"""Called whenever a connection's timeout passes; raises to end the waiting."""


def encode_array(array: np.ndarray) -> bytes:
    """Return an array as the content of a message."""
    return array_head(array) + array.tobytes()


def array_head(array: np.ndarray) -> bytes:
    """Return the head of an array's message; the array's own bytes follow it."""
    channels = array.shape[2] if array.ndim == 3 else 0
    return SHAPE.pack(array.dtype.char.encode(), *array.shape[:2], channels)


def decode_array(content: bytearray) -> np.ndarray:
    """Return the array in a message."""
    depth, height, width, channels = SHAPE.unpack_from(content)
    shape = (height, width, channels)[: 3 if channels else 2]
    if depth not in _DEPTHS or channels not in _CHANNELS:
        raise ValueError(f"{depth!r} {shape}")
    return np.frombuffer(content, _DEPTHS[depth], offset=SHAPE.size).reshape(shape)


def decode_error(content: bytearray) -> ImageError:
    """Return the error in a message."""
    code, _, detail = content.decode().partition(" ")
    return ImageError(FailureCode(code), detail)


def send(connection: socket.socket, *contents: bytes | memoryview, tick: Tick | None = None) -> None:
    """Send bytes; `tick` as in `receive`."""
    # Small contents at once: each call wakes the other process.
    for content in (b"".join(contents),) if sum(map(len, contents)) < _SMALL else contents:
        view = memoryview(content)
        while view:
            try:
                view = view[connection.send(view) :]
            except TimeoutError:
                _call(tick)


def receive(connection: socket.socket, tick: Tick | None = None) -> tuple[bytes, bytearray]:
    """Return the next message's letter and content; call `tick` whenever the connection's timeout passes.

    Raises:
        EOFError: when the other side has closed the connection, or sends nonsense.
    """
    letter, length = FRAME.unpack(_exactly(connection, FRAME.size, tick))
    if length > _MOST_REPLY:
        raise EOFError(f"a message of {length:,} bytes")
    return letter, _exactly(connection, length, tick)


def _exactly(connection: socket.socket, size: int, tick: Tick | None) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        try:
            read = connection.recv_into(view)
        except TimeoutError:
            _call(tick)
            continue
        if not read:
            raise EOFError("connection closed")
        view = view[read:]
    return content


def _call(tick: Tick | None) -> None:
    if tick is None:
        raise EOFError("the other side does not answer")
    tick()
