import cv2
import numpy as np
import pytest

from digitmill.imaging.ink.paper import Ink, estimate_lighting, find_ink
from schemas.failure import ImageError


def tight(digit: np.ndarray, *, margin: int) -> np.ndarray:
    left, top, width, height = cv2.boundingRect(digit)
    crop = digit[top : top + height, left : left + width]
    grown = cv2.resize(crop, (3 * width, 3 * height), interpolation=cv2.INTER_CUBIC)
    return 230 - (np.pad(grown, 3 * margin) * 0.8).astype(np.uint8)


def ink_of(picture: np.ndarray) -> Ink:
    return find_ink(picture, estimate_lighting(picture))


@pytest.mark.parametrize("margin", [1, 2, 8])
def test_polarity_is_told_in_tight_crops_too(digits: np.ndarray, margin: int) -> None:
    pictures = [tight(digit, margin=margin) for digit in digits[::3]]
    assert not any(estimate_lighting(picture).light_ink for picture in pictures)
    assert all(estimate_lighting(255 - picture).light_ink for picture in pictures)


def test_a_dark_box_along_the_edges_does_not_make_dark_paper(digits: np.ndarray) -> None:
    for digit in digits[::25]:
        picture = cv2.rectangle(tight(digit, margin=4), (0, 0), (10_000, 10_000), 30, 2)
        picture[-2:] = picture[:, -2:] = 30
        assert not estimate_lighting(picture).light_ink


@pytest.mark.parametrize("slope", [0, 40, -60])
def test_the_ink_is_found_whatever_the_light(digits: np.ndarray, slope: int) -> None:
    for digit in digits[::25]:
        even = tight(digit, margin=4)
        light = np.linspace(-slope, 0, even.shape[1]) if slope > 0 else np.linspace(0, slope, even.shape[1])
        lit = (even + light).clip(0, 255).astype(np.uint8)
        different = ink_of(lit).mask() != ink_of(even).mask()
        assert different.mean() < 0.03


def test_grain_raises_the_floor() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (64, 64))
    picture = np.full((64, 64), 200.0)
    picture[20:44, 30:34] = 40
    fine, coarse = (ink_of((picture + grain * noise).clip(0, 255).astype(np.uint8)) for grain in (1, 6))
    assert fine.floor < coarse.floor
    assert np.count_nonzero(coarse.mask()) < 1.3 * 24 * 4


def test_grain_alone_is_no_ink() -> None:
    for seed in range(50):
        generator = np.random.default_rng(seed)
        shape = tuple(generator.integers(8, 64, 2))
        noise = generator.normal(generator.uniform(60, 220), generator.uniform(0, 12), shape)
        with pytest.raises(ImageError):
            ink_of(noise.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("contrast", [14, 20, 31])
def test_faint_ink_on_smooth_paper_is_seen(digits: np.ndarray, contrast: int) -> None:
    for digit in digits[::25]:
        dark = tight(digit, margin=4)
        faint = (200 - contrast * ((230 - dark.astype(float)) / 204)).astype(np.uint8)
        different = ink_of(faint).mask() != ink_of(dark).mask()
        assert different.mean() < 0.1


def test_faint_ink_on_grainy_paper_is_none() -> None:
    noise = np.random.default_rng(0).normal(200, 5, (64, 64))
    noise[20:44, 30:34] -= 20
    with pytest.raises(ImageError):
        ink_of(noise.clip(0, 255).astype(np.uint8))
