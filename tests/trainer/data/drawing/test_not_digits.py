import numpy as np
import pytest

from digitmill.imaging.batch import canonical_batch
from trainer.data.drawing.font_families import find_designs
from trainer.data.drawing.not_digits import KINDS, Material, draw_not_digit, is_upright_stroke
from trainer.data.sources import embedded_sample

HANDWRITTEN = embedded_sample.digits().train.images


@pytest.fixture(scope="module")
def material() -> Material:
    return Material(find_designs(("DejaVu Sans",))["train"], HANDWRITTEN)


def pictures(kind: str, material: Material, *, count: int = 60) -> list[np.ndarray]:
    return [draw_not_digit(kind, material, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_one_picture(kind, material):
    first, second = pictures(kind, material), pictures(kind, material)
    assert all((one == other).all() for one, other in zip(first, second, strict=True))
    assert len({picture.tobytes() for picture in first}) == 60


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "empty cells"])
def test_preprocessing_finds_ink_in_all_but_empty_cells(kind, material):
    errors = canonical_batch(pictures(kind, material)).errors
    assert sum(error is not None for error in errors) <= 6


def test_two_digits_are_wider_than_one(material):
    made = canonical_batch(pictures("two digits", material))
    seen = made.digits[[error is None for error in made.errors]]
    heights, widths = seen.any(axis=2).sum(axis=1), seen.any(axis=1).sum(axis=1)
    assert (widths > heights).mean() > 0.6


def test_a_font_of_digits_alone_serves(tmp_path, segment_font):
    segment_font(tmp_path / "segments.ttf", "Segments")
    material = Material(find_designs((str(tmp_path),))["train"], HANDWRITTEN)
    for kind in ("letters", "symbols"):
        assert all(np.ptp(picture) for picture in pictures(kind, material, count=10))


def test_strokes_that_are_read_as_one_are_told_from_other_ink():
    sheets = np.zeros((4, 28, 28), np.uint8)
    sheets[0, 4:24, 13:15] = 255
    for row in range(20):
        sheets[1, 4 + row, 18 - row // 2] = 255
    sheets[2, 13:15, 4:24] = 255
    sheets[3, 4:24, 4:24] = 255
    assert [is_upright_stroke(sheet) for sheet in sheets] == [True, True, False, False]
    share = np.mean([is_upright_stroke(digit) for digit in HANDWRITTEN])
    assert 0.04 < share < 0.12
