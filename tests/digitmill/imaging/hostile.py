"""Small files of every kind: whole ones to be damaged, and ones whose structure lies."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

GRAY = (np.arange(48 * 64) % 251).astype(np.uint8).reshape(48, 64)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def whole_files() -> dict[str, bytes]:
    gray = Image.fromarray(GRAY)
    color = gray.convert("RGB")
    return {
        "PNG": encoded(gray, "PNG"),
        "PNG with a palette": encoded(gray.convert("P"), "PNG"),
        "JPEG": encoded(color, "JPEG"),
        "progressive JPEG": encoded(color, "JPEG", progressive=True),
        "GIF": encoded(gray, "GIF"),
        "TIFF": encoded(color, "TIFF"),
        "TIFF with LZW": encoded(gray, "TIFF", compression="tiff_lzw"),
        "TIFF with deflate": encoded(color, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF with its directory first": tiff_with_its_directory_first(),
        "fax TIFF": encoded(gray.convert("1"), "TIFF", compression="group4"),
        "WebP": encoded(color, "WEBP"),
        "lossless WebP": encoded(color.convert("RGBA"), "WEBP", lossless=True),
        "BMP": encoded(color, "BMP"),
        "BMP with a palette": encoded(gray, "BMP"),
    }


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG of any stated size, with chunks of one's own between header and end."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


def gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6)
    return head + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\x00;"


def bmp(width: int, height: int, *, compression: int = 0, rows: int = 0) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, 0, 0, 0, 0, 0)
    first = 14 + len(head) + 1024
    return (
        b"BM"
        + struct.pack("<IHHI", 0, 0, 0, first)
        + head
        + bytes(1024)
        + bytes(rows * ((width + 3) // 4 * 4))
    )


def tiff(entries: list[tuple[int, int, int, int]], *, count: int | None = None) -> bytes:
    """A TIFF with entries of tag, type, number of values, value; and a count that may be another."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries) if count is None else count) + body + bytes(4)


def tiff_with_its_directory_first() -> bytes:
    """A deflated TIFF that still has its directory when its pixels are cut off; libtiff writes it last."""
    strip = zlib.compress(GRAY.tobytes())
    values = {256: 64, 257: 48, 258: 8, 259: 8, 262: 1, 273: 122, 277: 1, 278: 48, 279: len(strip)}
    return tiff([(tag, 4, 1, value) for tag, value in values.items()]) + strip


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def canvas(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def lossless_frame(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8L", b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + bytes(20)


def jpeg_with_frames(*sizes: tuple[int, int]) -> bytes:
    """A JPEG that states several sizes before its scan."""
    data = whole_files()["JPEG"]
    place = data.index(b"\xff\xc0")
    length = int.from_bytes(data[place + 2 : place + 4])
    frame = data[place : place + 2 + length]
    frames = b"".join(frame[:5] + struct.pack(">HH", height, width) + frame[9:] for width, height in sizes)
    return data[:place] + frames + data[place + 2 + length :]
