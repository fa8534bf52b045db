import numpy as np
import pytest

from digitmill.imaging.batch import canonical_batch
from trainer.data.sources import embedded_sample
from trainer.metrics import out_of_distribution

DIGITS = embedded_sample.digits().validation.images
KINDS = ("letters", "blank", "noise", "two_digits")


def sure(digits: np.ndarray) -> np.ndarray:
    return np.tile(np.eye(10, dtype=np.float32)[3], (len(digits), 1))


def unsure(digits: np.ndarray) -> np.ndarray:
    return np.full((len(digits), 10), 0.1, np.float32)


def test_synthetic_images_are_reproducible() -> None:
    first, second = (dict(out_of_distribution.synthetic_images(DIGITS, images=20)) for _ in range(2))
    assert tuple(first) == KINDS
    for kind, made in first.items():
        assert len(made) == 20
        assert all(
            picture.dtype == np.uint8 and (picture == again).all()
            for picture, again in zip(made, second[kind], strict=True)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_images_of_a_kind_differ(kind: str) -> None:
    made = dict(out_of_distribution.synthetic_images(DIGITS, images=50))[kind]
    assert len({picture.tobytes() for picture in made}) == 50


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("letters", 0, 0), ("two_digits", 0, 0), ("noise", 0, 5)]
)
def test_preprocessing_rejects_only_blank_paper(kind: str, least: int, most: int) -> None:
    errors = canonical_batch(dict(out_of_distribution.synthetic_images(DIGITS, images=100))[kind]).errors
    assert least <= sum(error is not None for error in errors) <= most


def test_two_digits_are_wider_than_high_when_a_model_sees_them() -> None:
    made = canonical_batch(
        dict(out_of_distribution.synthetic_images(DIGITS, images=100))["two_digits"]
    ).digits
    heights, widths = made.any(axis=2).sum(axis=1), made.any(axis=1).sum(axis=1)
    assert (widths > heights).mean() > 0.8


def test_a_model_that_is_always_confident_accepts_everything() -> None:
    found = out_of_distribution.measure(sure, DIGITS, threshold=0.9, images=60)
    for row in found.values():
        assert row.images == 60
        assert row.accepted == 60 - row.blank
    assert found["blank"].blank > 30
    assert found["letters"].share == 1


def test_a_model_that_is_never_confident_accepts_nothing() -> None:
    found = out_of_distribution.measure(unsure, DIGITS, threshold=0.9, images=30)
    assert [row.accepted for row in found.values()] == [0] * 4
    # From the threshold on, not above it.
    found = out_of_distribution.measure(unsure, DIGITS, threshold=float(np.float32(0.1)), images=30)
    assert found["letters"].accepted == 30


def test_a_model_gets_no_empty_batch() -> None:
    asked = []

    def answer(digits: np.ndarray) -> np.ndarray:
        asked.append(len(digits))
        return sure(digits)

    # Two digits without ink, side by side, are as blank as paper.
    found = out_of_distribution.measure(answer, np.zeros_like(DIGITS), threshold=0.5, images=10)
    assert (found["two_digits"].blank, found["two_digits"].accepted) == (10, 0)
    assert asked == [10, 10 - found["blank"].blank, 10]
