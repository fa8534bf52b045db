"""Animations made by hand, compared with a plain model of what browsers show."""

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from digitmill.imaging.decoders import open_pages
from digitmill.imaging.headers.header import read_header
from schemas.failure import FailureCode, ImageError

GIF_KEEP, GIF_NONE, GIF_CLEAR, GIF_RESTORE = 1, 0, 2, 3
KEEP, CLEAR, RESTORE = range(3)


class Drawn(NamedTuple):
    """A frame: gray levels or indices, [height, width], and opacity, 0 to 255, of the same shape."""

    left: int
    top: int
    levels: np.ndarray
    opacity: np.ndarray
    after: int
    over: bool = True


def gif_blocks(indices: np.ndarray) -> bytes:
    """Return LZW codes of 9 bits; clearing the table often keeps them that short."""
    codes = [code for i, value in enumerate(indices.ravel()) for code in ([256] * (i % 100 == 0) + [value])]
    bits = "".join(f"{int(code):09b}"[::-1] for code in [*codes, 257])
    packed = b"".join(int(bits[i : i + 8][::-1], 2).to_bytes() for i in range(0, len(bits), 8))
    parts = [packed[i : i + 255] for i in range(0, len(packed), 255)]
    return b"\x08" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def gif(width: int, height: int, frames: Sequence[tuple[int, int, np.ndarray, int, int | None]]) -> bytes:
    """Return a GIF with a gray palette; of each frame left, top, indices, disposal, transparent index."""
    palette = bytes(np.repeat(np.arange(256, dtype=np.uint8), 3))
    data = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 9, 0) + palette
    for left, top, indices, disposal, clear in frames:
        data += b"\x21\xf9\x04" + bytes([disposal << 2 | (clear is not None), 0, 0, clear or 0, 0])
        data += b"\x2c" + struct.pack("<HHHHB", left, top, indices.shape[1], indices.shape[0], 0)
        data += gif_blocks(indices)
    return data + b"\x3b"


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + zlib.crc32(name + content).to_bytes(4)


def png(
    frames: Sequence[tuple[int, int, np.ndarray, int, int]],
    color: int,
    *,
    clear: bytes = b"",
    still: np.ndarray | None = None,
) -> bytes:
    """Return an animated PNG; of each frame left, top, samples, disposal, whether it is drawn over."""
    height, width = frames[0][2].shape[:2]
    bits = 8 * frames[0][2].itemsize
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    data += chunk(b"acTL", struct.pack(">II", len(frames), 0)) + (chunk(b"tRNS", clear) if clear else b"")
    data += b"" if still is None else chunk(b"IDAT", packed(still))
    number = 0
    for left, top, samples, disposal, over in frames:
        rows, columns = samples.shape[:2]
        place = struct.pack(">IIIIIHHBB", number, columns, rows, left, top, 1, 10, disposal, over)
        data, number = data + chunk(b"fcTL", place), number + 1
        if number == 1 and still is None:
            data += chunk(b"IDAT", packed(samples))
        else:
            data, number = data + chunk(b"fdAT", struct.pack(">I", number) + packed(samples)), number + 1
    return data + chunk(b"IEND", b"")


def packed(samples: np.ndarray) -> bytes:
    big_endian = samples.astype(samples.dtype.newbyteorder(">"))
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in big_endian))


def browser(width: int, height: int, frames: Sequence[Drawn]) -> list[np.ndarray]:
    """Return what is shown after each frame, float[height, width, 2]: gray and opacity."""
    canvas, shown = np.zeros((height, width, 2)), []
    for frame in frames:
        before = canvas.copy()
        rows, columns = frame.levels.shape
        place = canvas[frame.top : frame.top + rows, frame.left : frame.left + columns]
        weight = frame.opacity / 255 if frame.over else np.ones(frame.levels.shape)
        under = place[..., 1] / 255 * (1 - weight)
        opacity = weight + under if frame.over else frame.opacity / 255
        mixed = frame.levels * weight + place[..., 0] * under
        place[..., 0] = mixed / np.maximum(weight + under, 1e-9)
        place[..., 1] = opacity * 255
        shown.append(canvas.copy())
        if frame.after == CLEAR:
            place[:] = 0
        elif frame.after == RESTORE:
            canvas = before
    return shown


def assert_shows(data: bytes, shown: Sequence[np.ndarray]) -> None:
    pages = open_pages(data, read_header(data))
    assert pages.count == len(shown)
    for number, right in enumerate(shown):
        pixels = pages.pixels(number)
        pixels = pixels / (np.iinfo(pixels.dtype).max / 255)
        gray = pixels if pixels.ndim == 2 else pixels[..., 0]
        opacity = pixels[..., 3] if pixels.ndim == 3 and pixels.shape[2] == 4 else np.full(gray.shape, 255)
        np.testing.assert_allclose(opacity, right[..., 1], atol=2, err_msg=f"frame {number}")
        visible = right[..., 1] / 255
        np.testing.assert_allclose(gray * visible, right[..., 0] * visible, atol=3, err_msg=f"frame {number}")


def places(generator: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Return left, top, width and height of up to five frames of 20 x 16, the first a whole one."""
    found = [(0, 0, 20, 16)]
    for _ in range(generator.integers(5)):
        left, top = int(generator.integers(20)), int(generator.integers(16))
        columns, rows = generator.integers(1, 21 - left), generator.integers(1, 17 - top)
        found.append((left, top, int(columns), int(rows)))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_frames_of_a_gif_are_as_browsers_show_them(seed: int) -> None:
    generator = np.random.default_rng(seed)
    frames, drawn = [], []
    for left, top, columns, rows in places(generator)[seed % 2 :] or [(3, 2, 5, 6)]:
        indices = generator.integers(0, 256, (rows, columns)).astype(np.uint8)
        clear = int(generator.integers(256)) if generator.random() < 0.6 else None
        if clear is not None:
            indices[generator.random(indices.shape) < 0.4] = clear
        disposal = int(generator.choice([GIF_NONE, GIF_KEEP, GIF_CLEAR, GIF_RESTORE]))
        frames.append((left, top, indices, disposal, clear))
        opacity = np.where(indices == clear, 0, 255) if clear is not None else np.full(indices.shape, 255)
        drawn.append(Drawn(left, top, indices, opacity, max(0, disposal - 1)))
    assert_shows(gif(20, 16, frames), browser(20, 16, drawn))


def test_a_clear_index_of_a_gif_holds_for_its_frame_only() -> None:
    first, second = np.full((16, 20), 200, np.uint8), np.full((16, 20), 100, np.uint8)
    second[4:12] = 43
    data = gif(20, 16, [(0, 0, first, GIF_KEEP, 43), (0, 0, second, GIF_KEEP, None)])
    np.testing.assert_array_equal(open_pages(data, read_header(data)).pixels(1)[..., 0], second)


@pytest.mark.parametrize("seed", range(20))
def test_frames_of_a_png_are_as_browsers_show_them(seed: int) -> None:
    generator = np.random.default_rng(seed)
    color, deep, clear = [(0, 1, 0), (0, 257, 0), (4, 1, 0), (0, 1, 1), (0, 257, 1)][seed % 5]
    frames, drawn = [], []
    for left, top, columns, rows in places(generator):
        levels = generator.integers(0, 256, (rows, columns))
        opacity = np.full(levels.shape, 255)
        if color == 4:
            opacity = generator.choice([0, 100, 255], levels.shape)
        elif clear:
            opacity = np.where(levels == 77, 0, 255)
        samples = (levels * deep).astype(np.uint16 if deep > 1 else np.uint8)
        samples = np.dstack([samples, opacity.astype(np.uint8)]) if color == 4 else samples
        after, over = int(generator.integers(3)), int(generator.integers(2))
        frames.append((left, top, samples, after, over))
        drawn.append(Drawn(left, top, levels, opacity, after, over=bool(over)))
    still = frames[0][2][::-1] if seed % 3 == 0 else None
    shown = browser(20, 16, drawn)
    if still is not None:
        shown.insert(0, np.dstack([drawn[0].levels[::-1], drawn[0].opacity[::-1]]).astype(float))
    data = png(frames, color, clear=(77 * deep).to_bytes(2) if clear else b"", still=still)
    assert_shows(data, shown)


def test_a_png_that_lacks_a_frame_is_corrupt() -> None:
    frame = (0, 0, np.full((4, 4), 9, np.uint8), KEEP, 0)
    data = png([frame, frame], 0).replace(struct.pack(">II", 2, 0), struct.pack(">II", 3, 0))
    start = data.index(b"acTL")
    data = data[: start + 12] + zlib.crc32(data[start : start + 12]).to_bytes(4) + data[start + 16 :]
    with pytest.raises(ImageError) as caught:
        open_pages(data, read_header(data))
    assert caught.value.code is FailureCode.CORRUPT
