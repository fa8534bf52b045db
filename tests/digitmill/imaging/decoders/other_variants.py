"""Variants of all kinds but TIFF, by Pillow, OpenCV, pillow-heif and by hand."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image

from schemas.failure import FailureCode
from tests.digitmill.imaging.decoders import bmp_by_hand as by_hand
from tests.digitmill.imaging.decoders import pictures as p
from tests.digitmill.imaging.decoders.pictures import Variant

JPEG_TOLERANCE = 40
"""Between a picture and its JPEG; two decoders are compared more closely."""


def variants() -> Iterator[Variant]:
    """Yield all of them."""
    yield from _png()
    yield from _animated_png()
    yield from _jpeg()
    yield from _gif()
    yield from _bmp()
    yield from _webp()
    yield from _newer()
    yield from _pnm()
    yield from _documents()


def saved(kind: str, picture: np.ndarray, mode: str = "", **options: Any) -> bytes:
    """Return a picture, blue, green, red, as a file by Pillow."""
    file = io.BytesIO()
    image = Image.fromarray(p.rgb(picture))
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def animated(kind: str, frames: list[np.ndarray], **options: Any) -> bytes:
    """Return pictures as an animation by Pillow."""
    file = io.BytesIO()
    first, *rest = [Image.fromarray(p.rgb(frame)) for frame in frames]
    first.save(file, kind, save_all=True, append_images=rest, duration=100, **options)
    return file.getvalue()


def _png() -> Iterator[Variant]:
    family = "all color types, 1 to 16 bits, with opacity"
    for name, picture in (("gray", p.GRAY), ("RGB", p.COLOR), ("RGBA", p.CLEAR)):
        yield Variant("PNG", family, name, saved("PNG", picture), [picture])
        deep = cv2.imencode(".png", p.deep(picture))[1].tobytes()
        yield Variant("PNG", family, f"{name} of 16 bits", deep, [picture])
        with_profile = saved("PNG", picture, icc_profile=b"profile")
        yield Variant("PNG", family, f"{name} with a profile", with_profile, [picture])
    yield Variant("PNG", family, "1 bit", saved("PNG", p.INK, "1"), [p.INK])
    palette = np.asarray(Image.fromarray(p.rgb(p.COLOR)).quantize(16).convert("RGB"))[..., ::-1]
    file = io.BytesIO()
    Image.fromarray(p.rgb(p.COLOR)).quantize(16).save(file, "PNG", bits=4)
    yield Variant("PNG", family, "palette of 4 bits", file.getvalue(), [palette])
    data = saved("PNG", p.GRAY)
    place = data.index(b"IDAT") - 4
    length = int.from_bytes(data[place : place + 4])
    pixels = data[place + 8 : place + 8 + length]
    family = "a wrong checksum, cut off, missing pixels"
    for name, content, checksum in (
        ("checksum", pixels, 1),
        ("missing pixels", zlib.compress(b"\0" * 300), 0),
    ):
        chunk = b"IDAT" + content
        ruined = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk) ^ checksum)
        broken = data[:place] + ruined + data[place + 12 + length :]
        yield Variant("PNG", family, name, broken, FailureCode.CORRUPT)
    yield Variant("PNG", family, "cut off", data[:-20], FailureCode.CORRUPT)


def _animated_png() -> Iterator[Variant]:
    family = (
        "animated: each frame as shown, a row each; a still picture outside of the animation is the first"
    )
    for name, frames in (("gray", [p.GRAY, p.NEXT]), ("RGB", [p.COLOR, p.COLOR[::-1]])):
        data = animated("PNG", frames)
        yield Variant("PNG", family, name, data, frames)
        family_of_damage = "a wrong checksum, cut off, missing pixels"
        flipped = bytearray(data)
        flipped[data.index(b"fdAT") + 30] ^= 4
        yield Variant("PNG", family_of_damage, f"frame, {name}", bytes(flipped), FailureCode.CORRUPT)
    yield Variant(
        "PNG",
        family,
        "still picture",
        animated("PNG", [p.GRAY, p.NEXT, p.GRAY], default_image=True),
        [p.GRAY, p.NEXT, p.GRAY],
    )


def _jpeg() -> Iterator[Variant]:
    family = "gray, color and CMYK; progressive; padded; bytes behind the end"
    for progressive, sampling in itertools.product((False, True), (0, 1, 2)):
        data = saved("JPEG", p.COLOR, quality=95, progressive=progressive, subsampling=sampling)
        name = f"progressive {progressive}, sampling {sampling}"
        yield Variant("JPEG", family, name, data, [p.COLOR], tolerance=JPEG_TOLERANCE * 2)
    gray = saved("JPEG", p.GRAY, quality=95)
    tables = gray.index(b"\xff\xdb")
    padded = {
        "plain": gray,
        "zeros behind the end": gray + bytes(500),
        "0xFF behind the end": gray + b"\xff" * 99,
        "zeros between segments": gray[:tables] + bytes(5) + gray[tables:],
        "0xFF between segments": gray[:tables] + b"\xff" * 7 + gray[tables:],
        "junk between segments": gray[:tables] + b"junk" + gray[tables:],
        "zeros before the end": gray[:-2] + bytes(9) + gray[-2:],
        "0xFF before the end": gray[:-2] + b"\xff" * 9 + gray[-2:],
    }
    for name, data in padded.items():
        yield Variant("JPEG", family, name, data, [p.GRAY], tolerance=JPEG_TOLERANCE)
    cmyk = saved("JPEG", p.COLOR, "CMYK", quality=95)
    yield Variant("JPEG", family, "CMYK", cmyk, [p.COLOR], tolerance=JPEG_TOLERANCE * 2)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = saved("JPEG", p.GRAY[::-1, ::-1], quality=95, exif=exif)
    yield Variant("JPEG", family, "turned", turned, [p.GRAY], tolerance=JPEG_TOLERANCE)
    first = "several pictures in one file (MPO): the first; the others are previews and depth maps of it"
    mpo = animated("MPO", [p.COLOR, p.COLOR[::2, ::2]], quality=95)
    yield Variant("JPEG", first, "two pictures", mpo, [p.COLOR], tolerance=JPEG_TOLERANCE * 2)
    for share in (2, 3):
        cut = gray[: len(gray) * (share - 1) // share]
        yield Variant("JPEG", "cut off", f"after {share - 1}/{share}", cut, FailureCode.CORRUPT)


def _gif() -> Iterator[Variant]:
    family = "still or animated: each frame as shown, a row each"
    for interlace in (0, 1):
        yield Variant(
            "GIF",
            family,
            f"gray, interlaced {interlace}",
            saved("GIF", p.GRAY, interlace=interlace),
            [p.GRAY],
        )
    reduced = Image.fromarray(p.rgb(p.COLOR)).quantize(32)
    file = io.BytesIO()
    reduced.save(file, "GIF")
    yield Variant("GIF", family, "color", file.getvalue(), [np.asarray(reduced.convert("RGB"))[..., ::-1]])
    indices = Image.fromarray((p.INK > 0).astype(np.uint8), mode="P")
    indices.putpalette([0, 0, 0, 255, 255, 255])
    file = io.BytesIO()
    indices.save(file, "GIF", transparency=1)
    clear = np.dstack([p.INK, p.INK, p.INK, 255 - p.INK])
    yield Variant("GIF", family, "transparent", file.getvalue(), [clear])
    for disposal in (0, 1, 2):
        frames = [p.GRAY, p.NEXT, p.GRAY[::-1]]
        yield Variant(
            "GIF", family, f"disposal {disposal}", animated("GIF", frames, disposal=disposal), frames
        )
    family = "cut off, or without its end; a frame that leaves the screen"
    whole = animated("GIF", [p.GRAY, p.NEXT])
    for name, data in (("no end", whole[:-1]), ("half", whole[: len(whole) // 2])):
        yield Variant("GIF", family, name, data, FailureCode.CORRUPT)
    wide = bytearray(saved("GIF", p.GRAY))
    wide[6] -= 5
    yield Variant("GIF", family, "frame beyond the screen", bytes(wide), FailureCode.CORRUPT)


def _bmp() -> Iterator[Variant]:
    family = "1 to 32 bits; RLE8 and RLE4; headers of OS/2 to V5; from the top or the bottom"
    for name, picture in (("gray", p.GRAY), ("RGB", p.COLOR)):
        yield Variant("BMP", family, name, saved("BMP", picture), [picture])
    yield Variant("BMP", family, "32 bits", saved("BMP", p.CLEAR), [p.COLOR])
    yield Variant("BMP", family, "black and white", saved("BMP", p.INK, "1"), [p.INK])
    for bits, header in itertools.product((1, 4, 8), (12, 40, 108, 124)):
        indices = p.deep(p.GRAY, bits)
        palette, truth = _palette(indices, bits)
        rows = by_hand.uncompressed(indices, bits)
        data = by_hand.bmp(rows, p.COLUMNS, p.ROWS, bits, header=header, palette=palette)
        yield Variant("BMP", family, f"palette of {bits} bits, header {header}", data, [truth])
    for bits, narrower in itertools.product((4, 8), (0, 1, 2, 3)):
        indices = p.deep(p.GRAY, bits)[:, narrower:]
        palette, truth = _palette(indices, bits)
        rows, method = by_hand.run_lengths(indices, bits), by_hand.RLE8 if bits == 8 else by_hand.RLE4
        data = by_hand.bmp(rows, p.COLUMNS - narrower, p.ROWS, bits, compression=method, palette=palette)
        yield Variant("BMP", family, f"RLE{bits}, {p.COLUMNS - narrower} columns", data, [truth])
        cut = data[: len(data) - len(rows) // 2]
        yield Variant("BMP", "cut off", f"RLE{bits}, {narrower}", cut, FailureCode.CORRUPT)
    for green, header in itertools.product((5, 6), (40, 56, 108, 124)):
        rows, truth = by_hand.high_color(p.COLOR, green)
        masks = (0x1F << (5 + green), (2**green - 1) << 5, 0x1F)
        data = by_hand.bmp(
            rows, p.COLUMNS, p.ROWS, 16, header=header, compression=by_hand.BITFIELDS, masks=masks
        )
        yield Variant(
            "BMP", family, f"16 bits, {green} of them green, header {header}", data, [truth], tolerance=4
        )
    rows = b"".join(by_hand.padded(row.tobytes()) for row in p.COLOR)
    yield Variant("BMP", family, "from the top", by_hand.bmp(rows, p.COLUMNS, -p.ROWS, 24), [p.COLOR])
    yield Variant(
        "BMP",
        "cut off",
        "a row too few",
        by_hand.bmp(rows[:-136], p.COLUMNS, p.ROWS, 24),
        FailureCode.CORRUPT,
    )
    for name, bits, method in (("JPEG", 24, 4), ("PNG", 24, 5)):
        data = by_hand.bmp(rows, p.COLUMNS, p.ROWS, bits, compression=method)
        yield Variant("BMP", "JPEG or PNG inside; unusual color masks", name, data, FailureCode.UNSUPPORTED)


def _palette(indices: np.ndarray, bits: int) -> tuple[bytes, np.ndarray]:
    levels = np.arange(2**bits) * 255 // (2**bits - 1)
    colors = np.stack([255 - levels, levels, levels // 2, levels * 0], axis=1).astype(np.uint8)
    return colors.tobytes(), colors[indices][..., :3]


def _webp() -> Iterator[Variant]:
    family = "lossy and lossless, with opacity; animated: each frame as shown, a row each"
    for name, picture in (("RGB", p.COLOR), ("RGBA", p.CLEAR), ("part transparent", p.HALF)):
        yield Variant("WebP", family, f"lossless {name}", saved("WEBP", picture, lossless=True), [picture])
        lossy = saved("WEBP", picture, quality=95)
        yield Variant("WebP", family, f"lossy {name}", lossy, [picture], tolerance=JPEG_TOLERANCE * 2)
    frames = [p.COLOR, np.ascontiguousarray(p.COLOR[::-1]), p.COLOR // 2]
    data = animated("WEBP", frames, lossless=True)
    yield Variant("WebP", family, "animated", data, frames)
    yield Variant("WebP", "cut off", "half", data[: len(data) // 2], FailureCode.CORRUPT)


def _newer() -> Iterator[Variant]:
    family = "8 to 12 bits, with opacity; sequences: each frame, a row each"
    for name, picture in (("RGB", p.COLOR), ("RGBA", p.CLEAR)):
        data = saved("AVIF", picture, quality=95)
        yield Variant("AVIF", family, name, data, [picture], tolerance=JPEG_TOLERANCE * 2)
    frames = [p.COLOR, p.COLOR[::-1].copy()]
    yield Variant(
        "AVIF", family, "sequence", animated("AVIF", frames, quality=95), frames, tolerance=JPEG_TOLERANCE * 2
    )
    yield Variant("AVIF", "cut off", "half", data[: len(data) // 2], FailureCode.CORRUPT)
    family = "files and code streams; lossless and lossy; 8 and 16 bits"
    for plain in (False, True):
        for name, picture in (("gray", p.GRAY), ("RGB", p.COLOR), ("RGBA", p.CLEAR)):
            data = saved("JPEG2000", picture, no_jp2=plain)
            yield Variant("JPEG 2000", family, f"{name}, code stream {plain}", data, [picture])
    file = io.BytesIO()
    Image.fromarray(p.deep(p.GRAY)).save(file, "JPEG2000")
    yield Variant("JPEG 2000", family, "gray of 16 bits", file.getvalue(), [p.GRAY])
    lossy = saved("JPEG2000", p.COLOR, irreversible=True, quality_mode="dB", quality_layers=[50])
    yield Variant("JPEG 2000", family, "lossy", lossy, [p.COLOR], tolerance=8)
    yield Variant("JPEG 2000", "cut off", "half", data[: len(data) // 2], FailureCode.CORRUPT)


def _pnm() -> Iterator[Variant]:
    family = "PBM, PGM, PPM, plain or binary, 8 and 16 bits; several pictures in one file: a row each"
    head = b"%d %d\n" % (p.COLUMNS, p.ROWS)
    bits = np.packbits(p.INK == 0, axis=1).tobytes()
    color = p.rgb(p.COLOR)
    binary = {
        "P4": (b"P4\n" + head + bits, p.INK),
        "P5": (b"P5\n" + head + b"255\n" + p.GRAY.tobytes(), p.GRAY),
        "P5 of 16 bits": (b"P5\n" + head + b"65535\n" + p.deep(p.GRAY).astype(">u2").tobytes(), p.GRAY),
        "P5 of 10 bits": (b"P5\n" + head + b"1023\n" + p.deep(p.GRAY, 10).astype(">u2").tobytes(), p.GRAY),
        "P6": (b"P6\n# drawn\n" + head + b"255\n" + color.tobytes(), p.COLOR),
        "P6 of 16 bits": (b"P6\n" + head + b"65535\n" + p.deep(color).astype(">u2").tobytes(), p.COLOR),
    }
    for name, (data, picture) in binary.items():
        yield Variant("PNM", family, name, data, [picture])
        yield Variant("PNM", family, f"{name}, two pictures", data + data, [picture, picture])
        yield Variant("PNM", "cut off", name, data[:-9], FailureCode.CORRUPT)
    ink = b"\n".join(b" ".join(b"%d" % (not v) for v in row) for row in p.INK)
    yield Variant("PNM", family, "P1", b"P1\n" + head + ink, [p.INK])
    for magic, picture in ((b"P2", p.GRAY), (b"P3", color)):
        text = b"\n".join(b" ".join(b"%d" % v for v in row.ravel()) for row in picture)
        data = magic + b"\n" + head + b"255\n" + text
        yield Variant("PNM", family, magic.decode(), data, [p.rgb(picture)])


def _documents() -> Iterator[Variant]:
    from pillow_heif import from_pillow

    family = "photos and bursts, each picture a row; with digitmill[formats]"
    file = io.BytesIO()
    from_pillow(Image.fromarray(p.rgb(p.COLOR))).save(file, quality=95)
    data = file.getvalue()
    yield Variant("HEIC", family, "one photo", data, [p.COLOR], tolerance=JPEG_TOLERANCE * 2)
    burst = from_pillow(Image.fromarray(p.rgb(p.COLOR)))
    burst.add_from_pillow(Image.fromarray(p.rgb(p.COLOR[::-1].copy())))
    file = io.BytesIO()
    burst.save(file, quality=95)
    both = [p.COLOR, p.COLOR[::-1]]
    yield Variant("HEIC", family, "two photos", file.getvalue(), both, tolerance=JPEG_TOLERANCE * 2)
    yield Variant("HEIC", "cut off", "half", data[: len(data) // 2], FailureCode.CORRUPT)
    family = "pages at 200 dots per inch, each a row; with digitmill[formats]"
    pages = [np.kron(picture, np.ones((8, 8), np.uint8)) for picture in (p.INK, p.INK[::-1])]
    data = animated("PDF", pages, resolution=200)
    yield Variant("PDF", family, "two pages", data, pages, tolerance=JPEG_TOLERANCE * 2)
    yield Variant("PDF", "cut off", "half", data[: len(data) // 2], FailureCode.CORRUPT)
