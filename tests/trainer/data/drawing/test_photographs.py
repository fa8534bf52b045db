import numpy as np
import pytest
from matplotlib import font_manager

from digitmill.imaging.batch import canonical_batch
from trainer.data.drawing.ink import draw_text
from trainer.data.drawing.photographs import photograph

FONT = font_manager.findfont("DejaVu Sans", fallback_to_default=False)
INK = draw_text(FONT, "5", size=60)


def test_a_seed_gives_one_picture_and_others_differ():
    one, again, other = (photograph(INK, 30, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one == again).all()
    assert one.shape != other.shape or (one != other).any()


@pytest.mark.parametrize("size", [8, 20, 64, 150])
def test_pictures_are_about_as_large_as_asked(size):
    for seed in range(20):
        picture = photograph(INK, size, np.random.default_rng(seed))
        assert picture.dtype == np.uint8
        assert size <= max(picture.shape) <= 2.6 * size + 4
        assert np.ptp(picture) > 20


def test_most_are_dark_on_light_and_some_the_reverse():
    dark = [np.median(photograph(INK, 40, np.random.default_rng(seed))) < 110 for seed in range(200)]
    assert 0.15 < np.mean(dark) < 0.45


def test_a_digit_of_some_size_stays_what_it_is():
    pictures = [photograph(INK, 48, np.random.default_rng(seed)) for seed in range(200)]
    clean = canonical_batch([255 - np.pad(INK, 30)]).digits[0].astype(float).ravel()
    batch = canonical_batch(pictures)
    assert sum(error is not None for error in batch.errors) <= 2
    found = batch.digits[[error is None for error in batch.errors]]
    assert np.median([np.corrcoef(digit.ravel(), clean)[0, 1] for digit in found]) > 0.75
