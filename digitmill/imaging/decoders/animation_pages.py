"""Frames of GIF and animated PNG, drawn over each other as browsers do.

Pillow composes frames differently: for a gray GIF, it uses the first frame's transparent index for all
frames, and for a PNG without opacity, it clears to black. So Pillow, and OpenCV for PNG, decode each frame as
a still picture, and this module composes them.
"""

import functools
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from digitmill.imaging.decode import decode_here, upright
from digitmill.imaging.decoders.pages import check_count, check_size, reported
from digitmill.imaging.headers import png
from digitmill.imaging.headers.image_kinds import UPRIGHT, Header, Kind, corrupt
from schemas.failure import ImageError

KEEP, CLEAR, RESTORE = range(3)
"""What becomes of a frame's place before the next one is drawn."""

_PNG_CHUNK: Final = struct.Struct(">I4s")
_PNG_FRAME: Final = struct.Struct(">IIIIIHHBB")
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLORS: Final = (b"PLTE", b"tRNS")
"""Chunks that say what samples mean."""

_GIF_SCREEN: Final = struct.Struct("<6xHHBxx")
_GIF_FRAME: Final = struct.Struct("<HHHHB")
_PALETTE: Final = 0x80
_PALETTE_SIZE: Final = 0x07
_CONTROL: Final = b"\x21\xf9"
_CLEAR_INDEX: Final = 1
_ZEROS: Final = re.compile(rb"\0*")

_BLOCK_ROWS: Final = 256
"""Rows that are mixed at once, as floats."""


class Frame(NamedTuple):
    """A frame as stored in its file.

    Attributes:
        decode: returns the frame's pixels, in the form of `Pages.pixels`.
        after: KEEP, CLEAR or RESTORE.
        over: whether the previous content shows through transparent pixels.
        shown: whether the frame is part of the animation; a PNG's still picture may not be.
    """

    decode: Callable[[], np.ndarray]
    left: int
    top: int
    width: int
    height: int
    after: int = KEEP
    over: bool = True
    shown: bool = True


class AnimationPages:
    """The frames of an animation as displayed; see `Pages`."""

    def __init__(
        self,
        kind: Kind,
        size: tuple[int, int],
        frames: Sequence[Frame],
        *,
        orientation: int = UPRIGHT,
    ) -> None:
        """Check the number and the places of the frames; `size` is width and height.

        Raises:
            ImageError: CORRUPT or TOO_LARGE.
        """
        check_size(kind, *size)
        self.count = check_count(kind, len(frames))
        for frame in frames:
            inside = frame.left + frame.width <= size[0] and frame.top + frame.height <= size[1]
            if not inside or not frame.width or not frame.height:
                raise corrupt(
                    f"a {kind} of {size[0]} x {size[1]} with a frame of {frame.width} x {frame.height} pixels"
                )
        self._kind, self._size, self._frames = kind, size, frames
        self._orientation = orientation
        self._failed: tuple[int, ImageError] | None = None
        self._start()

    def pixels(self, number: int) -> np.ndarray:
        """Return a frame; see `Pages`. Frames that build on a damaged one are damaged too."""
        if self._failed is not None and number >= self._failed[0]:
            raise self._failed[1]
        if number < self._next:
            self._start()
        frame = self._frames[number]
        if not frame.shown or (self.count == 1 and (frame.width, frame.height) == self._size):
            return upright(self._decoded(frame), self._orientation)
        while self._next <= number:
            try:
                self._draw(self._frames[self._next])
            except ImageError as error:
                self._failed = self._next, error
                raise
            self._next += 1
        return upright(self._picture(), self._orientation)

    def _start(self) -> None:
        self._next, self._canvas, self._colored = 0, np.zeros((0, 0, 4), np.uint8), False
        self._restore: Callable[[], None] = lambda: None

    def _decoded(self, frame: Frame) -> np.ndarray:
        with reported(self._kind):
            pixels = frame.decode()
        if pixels.shape[:2] != (frame.height, frame.width):
            raise corrupt(f"a {self._kind} with a frame of another size than it says")
        return pixels

    def _draw(self, frame: Frame) -> None:
        if not frame.shown:
            return
        pixels = self._decoded(frame)
        self._colored = self._colored or pixels.ndim == 3
        if not self._canvas.size:
            self._canvas = np.zeros((self._size[1], self._size[0], 4), pixels.dtype)
        self._restore()
        rows, columns = (
            slice(frame.top, frame.top + frame.height),
            slice(frame.left, frame.left + frame.width),
        )
        place = self._canvas[rows, columns]
        before = place.copy() if frame.after == RESTORE else 0
        for row in range(0, frame.height, _BLOCK_ROWS):
            block = slice(row, row + _BLOCK_ROWS)
            _draw_block(place[block], pixels[block], over=frame.over)

        def restore() -> None:
            if frame.after != KEEP:
                place[:] = before

        self._restore = restore

    def _picture(self) -> np.ndarray:
        if self._canvas[..., 3].min() < np.iinfo(self._canvas.dtype).max:
            return self._canvas.copy()
        return self._canvas[..., :3].copy() if self._colored else self._canvas[..., 0].copy()


def _draw_block(place: np.ndarray, pixels: np.ndarray, *, over: bool) -> None:
    """Draw pixels, of gray, color or color with opacity, on a part of the canvas."""
    full = np.iinfo(place.dtype).max
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        place[..., :3] = pixels[..., None] if pixels.ndim == 2 else pixels
        place[..., 3] = full
    elif not over:
        place[:] = pixels
    else:
        weight = pixels[..., 3:].astype(np.float32) / full
        below = place[..., 3:].astype(np.float32) / full * (1 - weight)
        opacity = weight + below
        mixed = pixels[..., :3] * weight + place[..., :3] * below
        place[..., :3] = np.rint(mixed / np.where(opacity > 0, opacity, 1))
        place[..., 3:] = np.rint(opacity * full)


def png_pages(data: bytes, header: Header) -> AnimationPages:
    """Return the frames of an animated PNG; a still picture outside the animation comes first.

    Raises:
        ImageError: CORRUPT or TOO_LARGE.
    """
    with reported(Kind.PNG):
        frames = _png_frames(data)
    return AnimationPages(Kind.PNG, (header.width, header.height), frames, orientation=header.orientation)


def _png_frames(data: bytes) -> list[Frame]:
    """Return the frames; raise ValueError, IndexError or struct.error where their chunks are damaged."""
    chunks = list(_png_chunks(data))
    numbers = [int.from_bytes(content[:4]) for name, content in chunks if name in (b"fcTL", b"fdAT")]
    if numbers != list(range(len(numbers))):
        raise ValueError("an animation of which a part is missing")
    controls: list[bytes] = []
    pictures: list[list[bytes]] = []
    for name, content in chunks:
        if name == b"fcTL" or (name == b"IDAT" and not pictures):
            controls.append(content if name == b"fcTL" else b"")
            pictures.append([])
            check_count(Kind.PNG, len(pictures))
        if name == b"IDAT":
            pictures[0].append(content)
        elif name == b"fdAT":
            pictures[-1].append(content[4:])
    shown = sum(map(bool, controls))
    stated = int.from_bytes(next(content for name, content in chunks if name == b"acTL")[:4])
    if shown != stated or not all(pictures):
        raise ValueError(f"an animation of {shown} frames instead of {stated}, or with an empty one")
    head = chunks[0][1]
    colors = b"".join(_png_chunk(name, content) for name, content in chunks if name in _COLORS)
    return [
        _png_frame(head, colors, control, picture)
        for control, picture in zip(controls, pictures, strict=True)
    ]


def _png_frame(head: bytes, colors: bytes, control: bytes, picture: list[bytes]) -> Frame:
    width, height = struct.unpack_from(">II", head)
    _, columns, rows, left, top, _, _, after, blending = (
        _PNG_FRAME.unpack(control) if control else (0, width, height, 0, 0, 0, 0, KEEP, 0)
    )
    if after not in (KEEP, CLEAR, RESTORE):
        raise ValueError(f"a frame with the disposal {after}")

    def decode() -> np.ndarray:
        parts = (
            _png_chunk(b"IHDR", struct.pack(">II", columns, rows) + head[8:]),
            colors,
            *(_png_chunk(b"IDAT", part) for part in picture),
            _png_chunk(b"IEND", b""),
        )
        still = _PNG_SIGNATURE + b"".join(parts)
        return decode_here(still, png.header(still))

    return Frame(decode, left, top, columns, rows, after, over=bool(blending), shown=bool(control))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each chunk; raise the error for a wrong checksum, which Pillow skips."""
    place, name = len(_PNG_SIGNATURE), b""
    while name != b"IEND":
        length, name = _PNG_CHUNK.unpack_from(data, place)
        end = place + 8 + length
        if zlib.crc32(memoryview(data)[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise corrupt(f"a damaged PNG: the checksum of {name!r} at byte {place:,} is wrong")
        yield name, data[place + 8 : end]
        place = end + 4


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return _PNG_CHUNK.pack(len(content), name) + content + zlib.crc32(name + content).to_bytes(4)


def gif_pages(data: bytes) -> AnimationPages:
    """Return the frames of a GIF, after checking that all its blocks exist up to the trailer.

    The check is needed because Pillow does not notice that a file is cut off between two frames.

    Raises:
        ImageError: CORRUPT or TOO_LARGE.
    """
    frames: list[Frame] = []
    try:
        width, height, _ = _GIF_SCREEN.unpack_from(data)
        check_size(Kind.GIF, width, height)
        for frame in _gif_frames(data):
            frames.append(frame)
            check_count(Kind.GIF, len(frames))
    except (struct.error, IndexError) as error:
        raise corrupt(f"a GIF cut off after {len(data):,} bytes, in frame {len(frames) + 1}") from error
    return AnimationPages(Kind.GIF, (width, height), frames)


def _gif_frames(data: bytes) -> Iterator[Frame]:
    """Yield the frames; raise struct.error or IndexError where the file ends before its trailer."""
    flags = _GIF_SCREEN.unpack_from(data)[2]
    palette_end = _GIF_SCREEN.size + _palette_bytes(flags)
    place, control = palette_end, b""
    while True:
        # Pillow and browsers skip stray zeros between blocks.
        zeros = _ZEROS.match(data, place)
        place = zeros.end() if zeros else place
        block = data[place]
        if block == 0x3B:
            return
        if block == 0x21:
            end = _after_blocks(data, place + 2)
            if data.startswith(_CONTROL, place) and data[place + 2] >= 4:
                control = data[place + 3 : place + 7]
        elif block == 0x2C:
            left, top, columns, rows, frame_flags = _GIF_FRAME.unpack_from(data, place + 1)
            pixels = place + 1 + _GIF_FRAME.size
            end = _after_blocks(data, pixels + _palette_bytes(frame_flags) + 1)
            screen = data[:6] + struct.pack("<HHBBB", columns, rows, flags, 0, 0)
            head = screen + data[_GIF_SCREEN.size : palette_end] + _gif_clear(control)
            head += b"\x2c" + _GIF_FRAME.pack(0, 0, columns, rows, frame_flags)
            after = {2: CLEAR, 3: RESTORE}.get(control[0] >> 2 & 7, KEEP) if control else KEEP
            decode = functools.partial(_gif_still, data, head, pixels, end)
            yield Frame(decode, left, top, columns, rows, after)
            control = b""
        else:
            raise corrupt(f"a damaged GIF: no block at byte {place:,}")
        place = end


def _gif_clear(control: bytes) -> bytes:
    """Return the block that tells which index is transparent."""
    if not control or not control[0] & _CLEAR_INDEX:
        return b""
    return _CONTROL + bytes([4, _CLEAR_INDEX, 0, 0, control[3], 0])


def _gif_still(data: bytes, head: bytes, start: int, end: int) -> np.ndarray:
    from PIL.GifImagePlugin import GifImageFile

    from digitmill.imaging.decoders.pillow_pages import to_pixels

    image = GifImageFile(io.BytesIO(head + data[start:end] + b"\x3b"))
    image.load()
    return to_pixels(image)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & _PALETTE_SIZE) + 1 if flags & _PALETTE else 0


def _after_blocks(data: bytes, place: int) -> int:
    while data[place]:
        place += data[place] + 1
    return place + 1
