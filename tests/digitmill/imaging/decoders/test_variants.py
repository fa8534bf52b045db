import re
from collections.abc import Iterable

import pytest

from digitmill.imaging.decoders import open_pages
from digitmill.imaging.headers.header import read_header
from schemas.failure import FailureCode, ImageError
from tests.digitmill.imaging.decoders import imagemagick_variants, second_decoders
from tests.digitmill.imaging.decoders.pictures import Variant
from tests.digitmill.imaging.decoders.refused_files import REFUSED
from tests.digitmill.imaging.decoders.variants import ORDER, all_variants, table
from tests.test_docs import DOCS

SECOND = {"OpenCV": second_decoders.by_opencv, "Pillow": second_decoders.by_pillow}

DECIDED = [
    (
        "planar RGB, 16 bits|1[0-6] bits, planar True",
        "OpenCV|Pillow",
        "OpenCV reads past planar strips of more than 8 bits; Pillow takes uncompressed ones for 8 bits",
    ),
    ("1[024] bits, white is 0", "OpenCV", "inverts 16 bits of samples that have fewer"),
    ("palette of 1 to 8 bits: 1 bits", "OpenCV", "takes a palette of two colors for gray"),
    ("wide integers|them: 32 bits", "Pillow", "takes unsigned 32 bits for signed ones"),
    (
        "a fourth sample that is none|TIFF.*not declared|opacity.*gray|associated, 16 bits",
        "OpenCV",
        "drops opacity, or applies it twice, depending on the depth",
    ),
    ("still picture", "OpenCV", "leaves out the still picture in front of an animation"),
    (
        "header 12|RGB bmp2",
        "OpenCV",
        "reads a palette of OS/2 in entries of four bytes, and its colors as gray",
    ),
    ("RLE4", "Pillow", "loses the last of an odd number of pixels that are stored as they are"),
    ("16 bits, . of them green, header 40", "OpenCV", "ignores masks behind a small header; white is 248"),
    ("10 bits", "OpenCV", "does not scale PGM by its greatest value"),
]
"""Where another decoder differs from the picture that was written: variants, decoders, and what they do."""

ALONE = [
    ("two pictures", "other decoders read the first picture of a PNM"),
    ("HEIC", "no other decoder of HEIC is at hand"),
    ("PDF", "no other decoder of PDF is at hand"),
    ("float16|4 bits, >, big True", "no other decoder reads these"),
]
"""Variants that no other decoder confirms; the picture that was written does."""


def decoded(data: bytes) -> list:
    pages = open_pages(data, read_header(data))
    return [pages.pixels(number) for number in range(pages.count)]


def check(variant: Variant) -> None:
    if isinstance(variant.pages, FailureCode):
        with pytest.raises(ImageError) as caught:
            decoded(variant.data)
        assert caught.value.code is variant.pages, str(variant)
        return
    pages = decoded(variant.data)
    assert len(pages) == len(variant.pages), str(variant)
    for page, truth in zip(pages, variant.pages, strict=True):
        difference = second_decoders.difference(second_decoders.canvas(page), second_decoders.canvas(truth))
        assert difference <= variant.tolerance, str(variant)


def undecided(variant: Variant, decided: list[tuple[str, str, str]]) -> Iterable[str]:
    """Yield what a second decoder says that nobody has decided about."""
    try:
        pages = decoded(variant.data)
    except ImageError:
        return
    for number, page in enumerate(pages):
        ours = second_decoders.canvas(page)
        others = {name: decode(variant.data, number) for name, decode in SECOND.items()}
        agreed = {
            name: second_decoders.difference(ours, other) <= 3
            for name, other in others.items()
            if other is not None
        }
        for name, agrees in agreed.items():
            if not agrees and not any(
                re.search(v, str(variant)) and re.search(d, name) for v, d, _ in decided
            ):
                yield f"{variant}, page {number}: {name} differs"
        if not any(agreed.values()) and not any(re.search(v, str(variant)) for v, *_ in (*ALONE, *decided)):
            yield f"{variant}, page {number}: no other decoder confirms it"


@pytest.mark.parametrize("kind", ORDER)
def test_every_variant_has_its_verdict_and_its_pixels(kind: str) -> None:
    for variant in all_variants():
        if variant.kind == kind:
            check(variant)


def test_there_are_hundreds_of_variants() -> None:
    assert len(all_variants()) > 400
    assert len({str(variant) for variant in all_variants()}) == len(all_variants())


def test_no_variant_is_predicted_about_which_a_second_decoder_disagrees() -> None:
    assert not [line for variant in all_variants() for line in undecided(variant, DECIDED)]


def test_every_decision_is_needed() -> None:
    for pattern, decoders, _ in DECIDED:
        matching = [variant for variant in all_variants() if re.search(pattern, str(variant))]
        assert matching, pattern
        assert set(decoders.split("|")) <= set(SECOND)


@pytest.mark.slow
def test_what_imagemagick_writes_is_decoded(imagemagick: str) -> None:
    variants = list(imagemagick_variants.variants(imagemagick))
    assert len(variants) > 80
    for variant in variants:
        check(variant)
    decided = [*DECIDED, ("BMP", "OpenCV", "garbles palettes behind a large header, and run lengths")]
    assert not [line for variant in variants for line in undecided(variant, decided)]


@pytest.mark.parametrize(("name", "data"), REFUSED.items())
def test_what_is_refused_is_named(name: str, data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        read_header(data)
    assert caught.value.code is FailureCode.UNSUPPORTED
    what, colon, cure = caught.value.detail.partition(": ")
    assert what.startswith(name)
    assert (colon, cure[:1].islower()) == (": ", True)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (bytes(3000), "file of zero bytes, perhaps an interrupted copy: copy it again"),
        (
            b"\x9c\x01\x80\0junk",
            "unknown format (first bytes 9c 01 80 00 6a 75 6e 6b), not supported: convert it to PNG or JPEG",
        ),
    ],
)
def test_what_is_not_known_is_described(data: bytes, detail: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_header(data)
    assert (caught.value.code, caught.value.detail) == (FailureCode.UNSUPPORTED, detail)


def test_pages_are_the_same_in_every_order() -> None:
    for variant in all_variants():
        if isinstance(variant.pages, list) and len(variant.pages) > 1:
            forward = decoded(variant.data)
            pages = open_pages(variant.data, read_header(variant.data))
            for number in reversed(range(pages.count)):
                assert (pages.pixels(number) == forward[number]).all(), str(variant)


def test_the_table_of_docs_says_what_the_variants_show() -> None:
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    assert table() in page
