import collections
import pathlib
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from digitmill.imaging.decode import decode
from digitmill.imaging.limits import DECODER_MEMORY, MAX_PIXELS
from schemas.failure import FailureCode, ImageError
from tests.digitmill.imaging import hostile
from tests.digitmill.imaging.hostile import GRAY, encoded


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_gray_comes_back_byte_for_byte(kind: str) -> None:
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(GRAY), kind)), GRAY)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "JPEG", "GIF"])
def test_color_comes_as_blue_green_red(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = decode(encoded(Image.new("RGB", (64, 48), (250, 120, 10)), kind, **options))
    assert pixels.shape == (48, 64, 3)
    np.testing.assert_allclose(pixels.reshape(-1, 3).mean(axis=0), [10, 120, 250], atol=3)


def test_16_bits_are_kept() -> None:
    deep = (GRAY.astype(np.uint16) * 257)[:, ::-1]
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(deep), "PNG")), deep)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_opacity_is_kept(kind: str) -> None:
    opaque = Image.new("RGBA", (64, 48), (0, 0, 0, 128))
    assert decode(encoded(opaque, kind)).shape == (48, 64, 4)


# OpenCV turns JPEG and TIFF itself, and the others not: both ways have all orientations.
@pytest.mark.parametrize(
    ("kind", "mode", "orientation"),
    [
        *((kind, "L", orientation) for kind in ("PNG", "JPEG") for orientation in range(1, 9)),
        *((kind, mode, 6) for kind in ("WEBP", "TIFF") for mode in ("L", "RGBA")),
        ("PNG", "RGBA", 6),
    ],
)
def test_the_orientation_is_applied(kind: str, mode: str, orientation: int) -> None:
    shown = Image.new(mode, (40, 24), 255 if mode == "L" else (255, 255, 255, 200))
    shown.paste(0 if mode == "L" else (0, 0, 0, 200), (0, 0, 12, 8))  # a black corner, upper left
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = shown if orientation == 1 else shown.transpose(Image.Transpose(undo[orientation]))
    exif = stored.getexif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = decode(encoded(stored, kind, exif=exif, **options))
    assert pixels.shape[:2] == (24, 40)
    gray = pixels if pixels.ndim == 2 else pixels[..., 0]
    assert gray[:8, :12].mean() < 30
    assert gray[:8, -12:].mean() > 225
    assert gray[-8:].mean() > 225


@pytest.mark.parametrize(
    ("samples", "levels"),
    [
        pytest.param(GRAY.astype(np.float32) / 255, GRAY.astype(np.uint16) * 257, id="float up to 1"),
        pytest.param(GRAY.astype(np.float32), GRAY.astype(np.uint16) * 257, id="float up to 255"),
        pytest.param(GRAY.astype(np.int32) * 2**23, GRAY.astype(np.uint16) * 257, id="32 bits"),
        pytest.param(np.full((9, 9), 0.98, np.float32), np.full((9, 9), 64224, np.uint16), id="blank"),
        pytest.param(
            np.array([[-1, 1], [0, 1]], np.float32), np.array([[0, 65535], [32768, 65535]]), id="below 0"
        ),
    ],
)
def test_wide_samples_are_scaled_by_a_range_that_covers_them(samples: np.ndarray, levels: np.ndarray) -> None:
    pixels = decode(encoded(Image.fromarray(samples), "TIFF"))
    np.testing.assert_allclose(pixels.astype(float), levels.astype(float), atol=260)


def test_a_float_tiff_without_numbers_is_unsupported() -> None:
    with pytest.raises(ImageError) as caught:
        decode(encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"))
    assert caught.value.code is FailureCode.UNSUPPORTED


@pytest.mark.parametrize("name", hostile.whole_files())
def test_a_truncated_image_never_passes(name: str) -> None:
    data = hostile.whole_files()[name]
    assert decode(data).size
    for length in range(0, len(data) - 1, 37):
        with pytest.raises(ImageError) as caught:
            decode(data[:length])
        assert caught.value.code is (FailureCode.CORRUPT if length else FailureCode.EMPTY)


@pytest.mark.parametrize("name", hostile.whole_files())
def test_bytes_behind_the_end_do_no_harm(name: str) -> None:
    data = hostile.whole_files()[name]
    np.testing.assert_array_equal(decode(data + b"\0garbage"), decode(data))


PIXELS_AT_8 = [(273, 4, 1, 8), (279, 4, 1, 8)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GIF89a", id="GIF of a few bytes"),
        pytest.param(b"BM", id="BMP of two bytes"),
        pytest.param(b"II*\x00", id="TIFF of four bytes"),
        pytest.param(b"RIFF\0\0\0\0WEBP", id="WebP of twelve bytes"),
        pytest.param(hostile.gif((10, 10), (9000, 9000)), id="GIF frame beyond the screen"),
        pytest.param(hostile.gif((10, 10), (10, 10))[:-1], id="GIF without a trailer"),
        pytest.param(hostile.bmp(-(2**31), 2), id="BMP of negative width"),
        pytest.param(hostile.bmp(64, 64, rows=63), id="BMP with a row too few"),
        pytest.param(hostile.tiff([(256, 4, 1, 9), *PIXELS_AT_8]), id="TIFF without height"),
        pytest.param(hostile.tiff(PIXELS_AT_8, count=65535), id="TIFF with entries it has not"),
        pytest.param(
            hostile.tiff([(256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 2**32 - 1, 8), (279, 4, 2**32 - 1, 8)]),
            id="TIFF of 4 billion strips",
        ),
        pytest.param(
            hostile.tiff([(256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 1, 8), (279, 4, 1, 2**32 - 1)]),
            id="TIFF with a strip of 4 GB",
        ),
        pytest.param(
            hostile.tiff(
                [(256, 4, 1, 9), (257, 4, 1, 9), *[(60000, 1, 2**25, 0)] * 65531, *PIXELS_AT_8],
            ),
            id="TIFF of 65,535 entries of 32 MB",
        ),
        pytest.param(
            hostile.riff(hostile.canvas(10, 10), hostile.lossless_frame(16000, 16000)),
            id="WebP frame beyond the canvas",
        ),
        pytest.param(hostile.riff(hostile.canvas(10, 10)), id="WebP without a frame"),
    ],
)
def test_a_structure_that_lies_is_corrupt(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert caught.value.code is FailureCode.CORRUPT
    # It was read, and found wanting: the decoder neither crashed nor took its time.
    assert "the decoder" not in caught.value.detail


@pytest.mark.parametrize(
    "data",
    [
        *(
            pytest.param(encoded(Image.new("1", (8200, 4100)), kind), id=kind)
            for kind in ("PNG", "BMP", "TIFF", "GIF")
        ),
        pytest.param(hostile.bmp(9000, -9000), id="BMP from the top down"),
        pytest.param(hostile.bmp(9000, 9000, compression=1), id="run-length BMP"),
        pytest.param(hostile.gif((65535, 65535), (1, 1)), id="GIF screen beyond the frame"),
        pytest.param(hostile.riff(hostile.lossless_frame(16383, 16383)), id="WebP"),
    ],
)
def test_what_has_too_many_pixels_is_too_large(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert caught.value.code is FailureCode.TOO_LARGE
    assert "16,777,216" in caught.value.detail


@pytest.mark.slow
def test_5000_damaged_files_give_pixels_or_an_error_each() -> None:
    files = list(hostile.whole_files().values())
    generator = np.random.default_rng(0)
    codes = collections.Counter()
    for number in range(5_000):
        damaged = bytearray(files[number % len(files)])
        # Half of the flips hit the structure, which stands in front.
        for reach in generator.choice([120, len(damaged)], generator.integers(1, 5)):
            damaged[generator.integers(min(reach, len(damaged)))] ^= int(generator.integers(1, 256))
        try:
            pixels = decode(bytes(damaged))
        except ImageError as error:
            codes[error.code] += 1
            assert not error.detail.startswith("the decoder"), f"number {number}: {error}"
        else:
            codes["pixels"] += 1
            assert pixels.dtype in (np.uint8, np.uint16)
            assert 0 < pixels.size <= 4 * MAX_PIXELS
    assert codes["pixels"] > 500
    assert codes[FailureCode.CORRUPT] > 500


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_gray_of_a_png_is_clear(depth: int) -> None:
    levels = np.array([[0, 2**depth - 1]])
    row = b"\0" + np.packbits([int(b) for v in levels[0] for b in f"{v:0{depth}b}"]).tobytes()
    data = bytearray(hostile.png(2, 1))
    data[24] = depth
    head = hostile.chunk(b"IHDR", bytes(data[16:29]))
    clear = hostile.chunk(b"tRNS", int(levels[0, 1]).to_bytes(2))
    pixels = decode(data[:8] + head + clear + hostile.chunk(b"IDAT", zlib.compress(row)) + data[33:])
    assert pixels[0, :, 3].tolist() == [np.iinfo(pixels.dtype).max, 0]


@pytest.mark.slow
def test_memory_stays_bounded_whatever_arrives(tmp_path: pathlib.Path) -> None:
    """The largest picture there may be, of the widest pixels, costs this process nearly nothing."""
    pixels = np.zeros((4096, 4096, 4), np.uint16)
    pixels[1000:3000, 2000:2200] = 65535
    pixels[..., 3] = 65535
    (tmp_path / "large.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    script = f"""
import resource, numpy as np
from digitmill.imaging.batch import decode_batch
from digitmill.imaging.guard import GUARD
with open({str(tmp_path / "large.png")!r}, "rb") as file: data = file.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
batch = decode_batch([data] * 3, 3)
assert not any(batch.errors), batch.errors
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
GUARD.close()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    own, guarded = (int(line) * 1024 for line in done.stdout.split())
    assert own < 2**25
    assert guarded < DECODER_MEMORY


@given(st.data())
def test_flipped_bytes_give_pixels_or_an_error(data: st.DataObject) -> None:
    damaged = bytearray(encoded(Image.fromarray(GRAY), "PNG"))
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=5)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        assert decode(bytes(damaged)).dtype in (np.uint8, np.uint16)
    except ImageError as error:
        assert error.detail


@given(st.binary(max_size=300))
def test_any_bytes_give_pixels_or_an_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode(data)


def own_pngs() -> dict[str, tuple[bytes, bool]]:
    """PNGs of every color type, and damaged ones."""
    modes = {"1": 1, "L": 1, "P": 1, "RGB": 1, "LA": 1, "RGBA": 1}
    good = {mode: encoded(Image.fromarray(GRAY).convert(mode), "PNG") for mode in modes}
    flipped = bytearray(good["L"])
    flipped[len(flipped) // 2] ^= 0xFF
    bad = {"cut": good["L"][:-40], "flipped": bytes(flipped), "text": b"\x89PNX" + good["L"][4:]}
    return {name: (data, True) for name, data in good.items()} | {
        name: (data, False) for name, data in bad.items()
    }


@pytest.mark.parametrize(
    ("data", "valid"), [pytest.param(*case, id=name) for name, case in own_pngs().items()]
)
def test_valid_pngs_decode_and_damaged_ones_do_not(data: bytes, valid: bool) -> None:
    if valid:
        assert decode(data).size
    else:
        with pytest.raises(ImageError) as caught:
            decode(data)
        assert caught.value.code in (FailureCode.CORRUPT, FailureCode.UNSUPPORTED)


def test_of_the_pngsuite_every_valid_file_decodes_and_every_damaged_one_does_not(
    shared_data: pathlib.Path,
) -> None:
    files = sorted((shared_data / "images_png" / "pngsuite").glob("*.png"))
    assert len(files) > 100
    for file in files:
        test_valid_pngs_decode_and_damaged_ones_do_not(file.read_bytes(), not file.name.startswith("x"))


def test_what_crashed_other_decoders_does_not_crash_this_one(shared_data: pathlib.Path) -> None:
    files = sorted((shared_data / "images_png" / "crashers").iterdir())
    assert files
    for file in files:
        try:
            assert decode(file.read_bytes()).size < 10**6, file.name
        except ImageError as error:
            assert error.code in (FailureCode.CORRUPT, FailureCode.TOO_LARGE), file.name
