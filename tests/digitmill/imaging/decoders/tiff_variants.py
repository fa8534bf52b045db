"""Variants of TIFF, by tifffile, Pillow and by hand."""

import io
import itertools
import zlib
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from schemas.failure import FailureCode
from tests.digitmill.imaging.decoders import pictures as p
from tests.digitmill.imaging.decoders.pictures import Variant
from tests.digitmill.imaging.decoders.tiff_by_hand import assembled, packed, tiff

KIND = "TIFF"
LOSSLESS = {
    "none": None,
    "LZW": "lzw",
    "Deflate": "zlib",
    "PackBits": "packbits",
    "Zstandard": "zstd",
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips of 5 rows": {"rowsperstrip": 5},
    "tiles of 16": {"tile": (16, 16)},
    "tiles of 48": {"tile": (48, 48)},
}
WHOLE = (
    "gray, RGB and RGBA of 8 and 16 bits; strips and tiles; chunky and planar; uncompressed, LZW, Deflate, "
    "PackBits, Zstandard"
)
PACKED = "gray of 1 to 15 bits, both polarities; strips and tiles; either byte order; BigTIFF"


def variants() -> Iterator[Variant]:
    """Yield all of them."""
    yield from _by_tifffile()
    yield from _by_hand()
    yield from _wide()
    yield from _by_pillow()
    yield from _colors()
    yield from _pages()
    yield from _refused()
    yield from _damaged()


def _written(*pages: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(
        file, bigtiff=options.pop("bigtiff", False), byteorder=options.pop("byteorder", "<")
    ) as writer:
        for page in pages:
            writer.write(page, metadata=None, **options)
    return file.getvalue()


def _by_tifffile() -> Iterator[Variant]:
    contents = {
        "gray": (p.GRAY, "minisblack", {}),
        "RGB": (p.COLOR, "rgb", {}),
        "RGBA": (p.CLEAR, "rgb", {"extrasamples": ["unassalpha"]}),
        "planar RGB": (p.COLOR, "rgb", {"planarconfig": "separate"}),
    }
    for (content, (picture, photometric, more)), depth, compression, layout in itertools.product(
        contents.items(), (8, 16), LOSSLESS, LAYOUTS
    ):
        samples = p.rgb(p.deep(picture) if depth == 16 else picture)
        if "planarconfig" in more:
            samples = np.moveaxis(samples, -1, 0)
        data = _written(
            samples, photometric=photometric, compression=LOSSLESS[compression], **LAYOUTS[layout], **more
        )
        yield Variant(KIND, WHOLE, f"{content}, {depth} bits, {compression}, {layout}", data, [picture])
    for compression, order, big in itertools.product(("zlib", "lzw"), "<>", (False, True)):
        data = _written(
            p.rgb(p.COLOR),
            photometric="rgb",
            compression=compression,
            predictor=True,
            byteorder=order,
            bigtiff=big,
        )
        yield Variant(KIND, "horizontal predictor", f"{compression} {order} big={big}", data, [p.COLOR])


def _by_hand() -> Iterator[Variant]:
    for bits, white, tile in itertools.product((1, 2, 4, 10, 12, 14), (False, True), (0, 16, 48)):
        samples = p.deep(p.GRAY, bits)
        stored = 2**bits - 1 - samples if white else samples
        order = ">" if bits > 8 else "<"
        data = tiff(stored[..., None], bits, photometric=0 if white else 1, tile=tile, order=order)
        truth = p.quantised(p.GRAY, bits) if bits < 8 else p.GRAY
        yield Variant(
            KIND, PACKED, f"{bits} bits, white is {'0' if white else 'high'}, tile {tile}", data, [truth]
        )
    for bits, order, big in itertools.product((4, 8, 16), "<>", (False, True)):
        data = tiff(p.deep(p.GRAY, bits)[..., None], bits, photometric=1, order=order, big=big)
        truth = p.quantised(p.GRAY, bits) if bits < 8 else p.GRAY
        yield Variant(KIND, PACKED, f"{bits} bits, {order}, big {big}", data, [truth])
    for bits in (10, 12, 16):
        samples = p.deep(p.rgb(p.COLOR), bits)
        for planar in (False, True):
            data = tiff(samples, bits, photometric=2, planar=planar)
            yield Variant(
                KIND, "RGB of 10 to 16 bits, planar or not", f"{bits} bits, planar {planar}", data, [p.COLOR]
            )
    for bits in (1, 2, 4, 8):
        yield _palette(bits)
    yield from _full_last_strips()


def _full_last_strips() -> Iterator[Variant]:
    """Yield pages of 37 rows in strips of 16, the last one with rows beyond the page."""
    family = "last strip with rows beyond the page"
    codecs = {1: bytes, 5: imagecodecs.lzw_encode, 8: zlib.compress, 32773: imagecodecs.packbits_encode}
    for (number, encode), planar in itertools.product(codecs.items(), (False, True)):
        longer = np.pad(p.rgb(p.COLOR), ((0, 11), (0, 0), (0, 0)), constant_values=99)
        layers = [longer[..., [layer]] for layer in range(3)] if planar else [longer]
        rows = [layer[top : top + 16].tobytes() for layer in layers for top in (0, 16, 32)]
        tags = {256: [p.COLUMNS], 257: [p.ROWS], 258: [8] * 3, 259: [number], 262: [2], 277: [3], 278: [16]}
        data = assembled(tags | {284: [2 if planar else 1]}, [encode(row) for row in rows])
        yield Variant(KIND, family, f"compression {number}, planar {planar}", data, [p.COLOR])
        if number == 8:
            flipped = bytearray(data)
            flipped[-30] ^= 4
            yield Variant(
                KIND,
                "damaged last strip with rows beyond the page",
                f"planar {planar}",
                bytes(flipped),
                FailureCode.CORRUPT,
            )


def _palette(bits: int) -> Variant:
    size = 2**bits
    levels = np.arange(size) % 4 * 60 + np.arange(size) // 4 % 4 * 15
    colors = np.stack([levels, levels[::-1], 255 - levels]).astype(np.uint16)  # red, green, blue
    indices = p.deep(p.GRAY, bits)
    data = tiff(indices[..., None], bits, photometric=3, tags={320: (colors * 257).ravel().tolist()})
    truth = colors.astype(np.uint8).T[indices][..., ::-1]
    return Variant(KIND, "palette of 1 to 8 bits", f"{bits} bits", data, [truth])


def _wide() -> Iterator[Variant]:
    family = "floats, signed and wide integers, scaled by a range that covers the page"
    for dtype in (np.float16, np.float32, np.float64):
        data = _written((p.GRAY / 255).astype(dtype), photometric="minisblack")
        yield Variant(KIND, family, np.dtype(dtype).name, data, [p.GRAY])
    for dtype, factor in (
        (np.uint32, 1),
        (np.uint32, 2**24),
        (np.int16, 1),
        (np.int32, 256),
        (np.uint64, 2**50),
    ):
        data = _written(p.GRAY.astype(dtype) * dtype(factor), photometric="minisblack")
        yield Variant(KIND, family, f"{np.dtype(dtype).name} x {factor}", data, [p.GRAY], tolerance=1.3)


def _saved(picture: np.ndarray, mode: str = "", **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(p.rgb(picture))
    (image.convert(mode) if mode else image).save(file, "TIFF", **options)
    return file.getvalue()


def _by_pillow() -> Iterator[Variant]:
    fax = "fax: CCITT RLE, groups 3 and 4, either bit order"
    for compression in ("tiff_ccitt", "group3", "group4"):
        for rows in (7, p.ROWS):
            data = _saved(p.INK, "1", compression=compression, strip_size=rows * 6)
            yield Variant(KIND, fax, f"{compression}, {rows} rows a strip", data, [p.INK])
    data = _saved(p.INK, "1", compression="group3", tiffinfo={292: 1})
    yield Variant(KIND, fax, "group 3 in two dimensions", data, [p.INK])
    jpeg = "JPEG: gray, RGB, YCbCr, CMYK"
    for mode, picture in (("L", p.GRAY), ("RGB", p.COLOR), ("YCbCr", p.COLOR)):
        data = _saved(picture, mode, compression="jpeg", quality=95)
        yield Variant(KIND, jpeg, mode, data, [picture], tolerance=32)
    for number in range(1, 9):
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
        image = Image.fromarray(p.GRAY)
        stored = image if number == 1 else image.transpose(Image.Transpose(undo[number]))
        for mode in ("L", "1"):
            file = io.BytesIO()
            turned = (
                stored
                if mode == "L"
                else Image.fromarray((np.asarray(stored) >= 128).astype(np.uint8) * 255).convert("1")
            )
            turned.save(file, "TIFF", tiffinfo={274: number}, compression=None if mode == "L" else "group4")
            truth = p.GRAY if mode == "L" else p.INK
            yield Variant(KIND, "orientation 1 to 8", f"{number}, {mode}", file.getvalue(), [truth])


def _colors() -> Iterator[Variant]:
    weight = p.CLEAR[..., 3:] / 255
    stored = np.dstack([np.rint(p.CLEAR[..., :3] * weight).astype(np.uint8), p.CLEAR[..., 3]])
    family = "opacity, associated or not"
    for depth in (8, 16):
        samples = p.rgb(p.deep(stored) if depth == 16 else stored)
        data = _written(samples, photometric="rgb", extrasamples=["assocalpha"])
        yield Variant(KIND, family, f"associated, {depth} bits", data, [p.CLEAR], tolerance=2)
        ignored = _written(samples, photometric="rgb", extrasamples=["unspecified"])
        yield Variant(KIND, family, f"a fourth sample that is none, {depth} bits", ignored, [stored[..., :3]])
    forgotten = tiff(p.rgb(p.CLEAR), 8, photometric=2)
    yield Variant(KIND, family, "not declared", forgotten, [p.CLEAR])
    gray = np.dstack([p.GRAY, p.CLEAR[..., 3]])
    data = _written(gray, photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig")
    yield Variant(KIND, family, "gray", data, [np.dstack([p.GRAY] * 3 + [p.CLEAR[..., 3]])])
    inks = np.asarray(Image.fromarray(p.rgb(p.COLOR)).convert("CMYK"))
    for depth in (8, 16):
        data = _written(p.deep(inks) if depth == 16 else inks, photometric="separated")
        yield Variant(KIND, "CMYK of 8 and 16 bits", f"{depth} bits", data, [p.COLOR], tolerance=2)
    file = io.BytesIO()
    Image.fromarray(p.rgb(p.COLOR)).convert("YCbCr").save(file, "TIFF", compression="tiff_lzw")
    yield Variant(KIND, "YCbCr, old-style JPEG", "YCbCr with LZW", file.getvalue(), [p.COLOR], tolerance=4)
    yield _old_jpeg()


def _old_jpeg() -> Variant:
    file = io.BytesIO()
    Image.fromarray(p.rgb(p.COLOR)).save(file, "JPEG", quality=95, subsampling=0)
    whole = file.getvalue()
    tags = {
        256: [p.COLUMNS],
        257: [p.ROWS],
        258: [8, 8, 8],
        259: [6],
        262: [6],
        277: [3],
        278: [p.ROWS],
        284: [1],
    }
    tags |= {512: [1], 530: [1, 1]}
    # The stream stands where the strip does; where that is depends on the number of tags alone.
    draft = assembled(tags | {513: [0], 514: [len(whole)]}, [whole])
    data = assembled(tags | {513: [draft.index(whole)], 514: [len(whole)]}, [whole])
    return Variant(KIND, "YCbCr, old-style JPEG", "old-style JPEG", data, [p.COLOR], tolerance=32)


def _pages() -> Iterator[Variant]:
    family = "several pages, each a row; thumbnails and masks of other pages are none"
    data = _written(p.GRAY, p.NEXT, p.GRAY[:20], photometric="minisblack", compression="zlib")
    yield Variant(KIND, family, "three pages", data, [p.GRAY, p.NEXT, p.GRAY[:20]])
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(p.GRAY, photometric="minisblack", metadata=None)
        writer.write(p.GRAY[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
    yield Variant(KIND, family, "a thumbnail", file.getvalue(), [p.GRAY])


def _refused() -> Iterator[Variant]:
    family = "JPEG 2000, JPEG XL, PNG, WebP, LERC and LZMA inside of TIFF"
    for compression in ("jpeg2000", "jpegxl", "png", "webp", "lerc", "lzma"):
        picture = p.rgb(p.COLOR)
        data = _written(picture, photometric="rgb", compression=compression)
        yield Variant(KIND, family, compression, data, FailureCode.UNSUPPORTED)
    family = "Lab colors, transparency masks, raw photos"
    for photometric in (4, 8, 9, 32803):
        data = tiff(p.COLOR if photometric in (8, 9) else p.GRAY[..., None], 8, photometric=photometric)
        yield Variant(KIND, family, f"photometric {photometric}", data, FailureCode.UNSUPPORTED)
    data = tiff(p.rgb(p.COLOR), 8, photometric=2, tags={50706: [1]})
    yield Variant(KIND, family, "DNG", data, FailureCode.UNSUPPORTED)


def _damaged() -> Iterator[Variant]:
    family = "a strip or tile that is damaged, missing or cut off; a broken chain of pages"
    for name in ("Deflate", "Zstandard"):
        data = bytearray(
            _written(p.GRAY, photometric="minisblack", compression=LOSSLESS[name], rowsperstrip=5)
        )
        place = tifffile.TiffFile(io.BytesIO(data)).pages[0].dataoffsets[3] + 6
        data[place] ^= 8
        if name == "Deflate":
            yield Variant(KIND, family, f"a flipped bit, {name}", bytes(data), FailureCode.CORRUPT)
    whole = [packed(p.GRAY[top : top + 7], 8) for top in range(0, p.ROWS, 7)]
    tags = {256: [p.COLUMNS], 257: [p.ROWS], 258: [8], 259: [1], 262: [1], 277: [1], 278: [7]}
    for name, segments in (("empty", [b""]), ("too short", [whole[-1][:-1]])):
        data = assembled(tags, whole[:-1] + segments)
        yield Variant(KIND, family, f"last strip {name}", data, FailureCode.CORRUPT)
    yield Variant(KIND, family, "a strip too few", assembled(tags, whole[:-1]), FailureCode.CORRUPT)
    data = assembled(tags, whole)
    yield Variant(KIND, family, "cut off", data[:-30], FailureCode.CORRUPT)
