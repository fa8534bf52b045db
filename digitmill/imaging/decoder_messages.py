"""Messages between a process and its decoder process.

A message is a letter, a length and as many bytes. No pickle: a decoder that an image has taken over can
return a wrong picture, and nothing worse.
"""

import socket
import struct
import time
from typing import Final, NoReturn

import numpy as np

from digitmill.imaging.limits import MAX_PIXELS
from schemas.failure import FailureCode, ImageError

FRAME: Final = struct.Struct(">cI")
"""Head of a message: its letter, and the length of its content."""

SHAPE: Final = struct.Struct(">c3xIII")
"""Depth, height, width and channels; 16 bytes, so that the pixels behind it are aligned."""

_CHANNELS: Final = (0, 3, 4)
"""Length of the last axis; 0 where there is none."""

_DEPTHS: Final[dict[bytes, np.dtype]] = {b"B": np.dtype(np.uint8), b"H": np.dtype(np.uint16)}

_MOST_REPLY: Final = MAX_PIXELS * 8 + SHAPE.size

PIXELS: Final = b"P"
"""Request and reply: the image's pixels."""

DIGIT: Final = b"D"
"""Request and reply: the canonical digit."""

ERROR: Final = b"E"
"""Reply: a failure's code and detail."""

READY: Final = b"R"
"""The process has started."""


def encode_array(array: np.ndarray) -> bytes:
    """Returns an array as the content of a message."""
    channels = array.shape[2] if array.ndim == 3 else 0
    return SHAPE.pack(array.dtype.char.encode(), *array.shape[:2], channels) + array.tobytes()


def decode_array(content: bytearray) -> np.ndarray:
    """Returns the array that a message holds."""
    depth, height, width, channels = SHAPE.unpack_from(content)
    shape = (height, width, channels)[: 3 if channels else 2]
    if depth not in _DEPTHS or channels not in _CHANNELS:
        raise ValueError(f"{depth!r} {shape}")
    return np.frombuffer(content, _DEPTHS[depth], offset=SHAPE.size).reshape(shape)


def raise_error(content: bytearray) -> NoReturn:
    """Raises the error that a message describes."""
    code, _, detail = content.decode().partition(" ")
    raise ImageError(FailureCode(code), detail)


def receive(connection: socket.socket, deadline: float | None) -> tuple[bytes, bytearray]:
    """Returns the next message's letter and content.

    Raises:
        EOFError: when the other side has closed the connection.
        TimeoutError: after the deadline, in `time.monotonic` seconds.
    """
    letter, length = FRAME.unpack(_exactly(connection, FRAME.size, deadline))
    if length > _MOST_REPLY:
        raise EOFError(f"a message of {length:,} bytes")
    return letter, _exactly(connection, length, deadline)


def _exactly(connection: socket.socket, size: int, deadline: float | None) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        if deadline is not None:
            connection.settimeout(max(1e-3, deadline - time.monotonic()))
        read = connection.recv_into(view)
        if not read:
            raise EOFError("connection closed")
        view = view[read:]
    return content
