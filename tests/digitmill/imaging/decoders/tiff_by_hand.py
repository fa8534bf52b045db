"""Writes TIFFs of layouts that libraries do not write."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

_SHORT, _LONG, _LONG8 = 3, 4, 16
_SIZES = {_SHORT: 2, _LONG: 4, _LONG8: 8}


def packed(samples: np.ndarray, bits: int, *, order: str = "<") -> bytes:
    """Return rows of samples, uint [height, width x samples], of any depth, each row padded to a byte."""
    if bits in (8, 16, 32, 64):
        return samples.astype(f"{order}{samples.dtype.kind}{bits // 8}").tobytes()
    places = np.arange(bits - 1, -1, -1, dtype=np.uint16)
    ones = (samples.astype(np.uint16)[..., None] >> places) & 1
    return np.packbits(ones.reshape(len(samples), -1).astype(np.uint8), axis=1).tobytes()


def tiled(samples: np.ndarray, side: int) -> list[np.ndarray]:
    """Return the tiles of a picture, [height, width, samples], its edges padded with ones."""
    height, width, _ = samples.shape
    rows, columns = -(-height // side) * side, -(-width // side) * side
    whole = np.full((rows, columns, samples.shape[2]), 1, samples.dtype)
    whole[:height, :width] = samples
    return [
        whole[top : top + side, left : left + side].reshape(side, -1)
        for top in range(0, rows, side)
        for left in range(0, columns, side)
    ]


def tiff(
    samples: np.ndarray,
    bits: int,
    *,
    photometric: int,
    tile: int = 0,
    planar: bool = False,
    order: str = "<",
    big: bool = False,
    tags: Mapping[int, Sequence[int]] | None = None,
) -> bytes:
    """Return an uncompressed TIFF of samples, [height, width, samples].

    Args:
        samples: levels from 0 to 2 ** bits - 1.
        photometric: tag 262.
        tile: side of square tiles, pixels; 0 for strips of 7 rows.
        planar: each sample in strips of its own.
        tags: further tags, or other values for tags.
    """
    height, width, count = samples.shape
    layers = [samples[..., [number]] for number in range(count)] if planar else [samples]
    if tile:
        segments = [packed(part, bits, order=order) for layer in layers for part in tiled(layer, tile)]
    else:
        rows = [layer[top : top + 7] for layer in layers for top in range(0, height, 7)]
        segments = [packed(part.reshape(len(part), -1), bits, order=order) for part in rows]
    layout = {322: [tile], 323: [tile]} if tile else {278: [7]}
    entries = {256: [width], 257: [height], 258: [bits] * count, 259: [1], 262: [photometric], 277: [count]}
    entries |= {284: [2 if planar else 1]} | layout | dict(tags or {})
    return assembled(entries, segments, tile=bool(tile), order=order, big=big)


def assembled(
    entries: Mapping[int, Sequence[int]],
    segments: Sequence[bytes],
    *,
    tile: bool = False,
    order: str = "<",
    big: bool = False,
) -> bytes:
    """Return a TIFF of tags and of segments, which stand behind the directory."""
    offset_type, entry, count_size = (_LONG8, 20, 8) if big else (_LONG, 12, 2)
    places = {324 if tile else 273: len(segments), 325 if tile else 279: len(segments)}
    tags = {tag: list(values) for tag, values in entries.items()} | {
        tag: [0] * n for tag, n in places.items()
    }
    first = 16 if big else 8
    end = first + count_size + entry * len(tags) + _SIZES[offset_type]
    kinds = {tag: offset_type if tag in places else _LONG if tag >= 513 else _SHORT for tag in tags}
    inline = 8 if big else 4
    outside = {
        tag: len(v) * _SIZES[kinds[tag]] for tag, v in tags.items() if len(v) * _SIZES[kinds[tag]] > inline
    }
    position = end + sum(outside.values())
    offset_tag, size_tag = sorted(places)
    tags[offset_tag] = [position + sum(map(len, segments[:number])) for number in range(len(segments))]
    tags[size_tag] = [len(segment) for segment in segments]
    head = (b"II" if order == "<" else b"MM") + (
        struct.pack(f"{order}HHHQ", 43, 8, 0, first) if big else struct.pack(f"{order}HI", 42, first)
    )
    body, extra = b"", b""
    for tag in sorted(tags):
        letter = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}[kinds[tag]]
        values = struct.pack(f"{order}{len(tags[tag])}{letter}", *tags[tag])
        if tag in outside:
            place = end + len(extra)
            extra += values
            values = struct.pack(f"{order}{'Q' if big else 'I'}", place)
        body += struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, kinds[tag], len(tags[tag]))
        body += values.ljust(inline, b"\0")
    count = struct.pack(f"{order}{'Q' if big else 'H'}", len(tags))
    return head + count + body + bytes(_SIZES[offset_type]) + extra + b"".join(segments)
