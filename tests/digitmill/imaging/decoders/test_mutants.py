import collections
import io
import re
from collections.abc import Callable

import numpy as np
import pytest
import tifffile

from digitmill.imaging.decode import decode
from digitmill.imaging.decoders import open_pages
from digitmill.imaging.headers.header import read_header
from digitmill.imaging.limits import MAX_PIXELS
from schemas.failure import ImageError
from tests.digitmill.imaging.decoders import second_decoders, variants
from tests.digitmill.imaging.decoders.mutants import mutants
from tests.digitmill.imaging.decoders.pictures import Variant

A_FAMILY = 6
"""Files of each family of variants that are damaged."""

NO_CHECKSUM = {
    "JPEG": "entropy-coded data has neither checksum nor length: all decoders go on behind damage to it",
    "TIFF": "uncompressed pixels have no checksum, and Pillow refuses files over unrelated tags",
    "BMP": "run lengths have no checksum, and Pillow miscounts lines without a pixel",
    "PNG": "wrong checksums are ignored in chunks that say nothing about pixels",
}
"""Kinds, JPEG inside of TIFF included, of which Pillow refuses files that are predicted, and why."""


def sources() -> list[Variant]:
    """Whole files of every family."""
    families = collections.defaultdict(list)
    for variant in variants.all_variants():
        if isinstance(variant.pages, list):
            families[variant.kind, variant.family].append(variant)
    generator = np.random.default_rng(5)
    return [
        family[number]
        for family in families.values()
        for number in generator.permutation(len(family))[:A_FAMILY]
    ]


def outcome(data: bytes, decoder: Callable[[bytes], np.ndarray]) -> tuple[str, bytes] | np.ndarray:
    try:
        return decoder(data)
    except ImageError as error:
        return str(error.code), error.detail.encode()


def first_page(data: bytes) -> np.ndarray:
    return open_pages(data, read_header(data)).pixels(0)


def is_wrong(variant: Variant, pixels: np.ndarray, data: bytes) -> bool:
    """Tell whether another picture than the undamaged one is predicted, and Pillow refuses the file."""
    assert isinstance(variant.pages, list)
    ours = second_decoders.canvas(pixels)
    truth = second_decoders.canvas(variant.pages[0])
    known = variant.kind in ("JPEG", "PNG") or re.search("JPEG|RLE", f"{variant.family} {variant.name}")
    if known or _is_uncompressed(variant):
        return False
    if second_decoders.difference(ours, truth) <= variant.tolerance:
        return False
    return second_decoders.by_pillow(data, 0) is None


def _is_uncompressed(variant: Variant) -> bool:
    if variant.kind != "TIFF":
        return False
    with tifffile.TiffFile(io.BytesIO(variant.data)) as file:
        return file.pages[0].compression == 1


def check_all(count: int, *, seed: int, decoder: Callable[[bytes], np.ndarray]) -> collections.Counter:
    whole = sources()
    decodable = [second_decoders.by_pillow(variant.data, 0) is not None for variant in whole]
    damaged = list(mutants([variant.data for variant in whole], count, seed=seed))
    first = [outcome(data, decoder) for _, data in damaged]
    codes = collections.Counter()
    for number in reversed(range(count)):
        which, data = damaged[number]
        again = outcome(data, decoder)
        name = f"number {number}, made from {whole[which]}"
        if isinstance(again, tuple):
            assert again == first[number], name
            assert not again[1].startswith(b"the decoder"), f"{name}: {again}"
            codes[again[0]] += 1
            continue
        codes["pixels"] += 1
        np.testing.assert_array_equal(again, first[number], err_msg=name)
        assert again.dtype in (np.uint8, np.uint16), name
        assert 0 < again.size <= 4 * MAX_PIXELS, name
        assert not (decodable[which] and is_wrong(whole[which], again, data)), name
    return codes


def test_600_damaged_files_give_pixels_or_an_error_each() -> None:
    codes = check_all(600, seed=1, decoder=first_page)
    assert codes["pixels"] > 60
    assert codes["CORRUPT"] > 60


@pytest.mark.slow
def test_10000_damaged_files_give_pixels_or_an_error_each_under_guard() -> None:
    codes = check_all(10_000, seed=2, decoder=decode)
    assert codes["pixels"] > 1_000
    assert codes["CORRUPT"] > 1_000
