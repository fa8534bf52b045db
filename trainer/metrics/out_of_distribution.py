"""Out-of-distribution test: how many synthetic images without a single digit does a model accept?

Letters, blank paper, noise and pairs of digits go through `digitmill.imaging` like all images. A
classifier predicts a digit for each of them; what counts is how often its confidence passes the threshold.
"""

from collections.abc import Callable, Iterator
from typing import Final

import cv2
import numpy as np

from digitmill.imaging.batch import canonical_batch
from schemas.model.trust import Unfamiliar
from trainer.data.drawing.font_families import LETTERS
from trainer.data.drawing.ink import crop, side_by_side
from trainer.data.drawing.not_digits import blank_paper, noise

IMAGES: Final = 500
"""Images of each kind."""

_FONTS: Final = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
_SHEET: Final = 96
"""Side of the canvas, pixels."""

_SEED: Final = 20_170_706

Maker = Callable[[np.random.Generator], np.ndarray]


def synthetic_images(digits: np.ndarray, *, images: int = IMAGES) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield each kind's name and its images, uint8[height, width]; the same in every call.

    Args:
        digits: uint8[N, 28, 28] canonical digits, for the pairs.
        images: number of images of each kind.
    """
    makers: dict[str, Maker] = {
        "letters": _letter,
        "blank": blank_paper,
        "noise": noise,
        "two_digits": lambda rng: _pair(digits, rng),
    }
    for kind, make in makers.items():
        rng = np.random.default_rng(_SEED)
        yield kind, [make(rng) for _ in range(images)]


def measure(
    predict: Callable[[np.ndarray], np.ndarray], digits: np.ndarray, *, threshold: float, images: int = IMAGES
) -> dict[str, Unfamiliar]:
    """Return how many out-of-distribution images a model accepts, by kind.

    Args:
        predict: from uint8[N, 28, 28] canonical digits to float32[N, 10] calibrated probabilities.
        digits: uint8[N, 28, 28] canonical digits, for the pairs.
        threshold: the accept threshold.
        images: number of images of each kind.
    """
    found = {}
    for kind, made in synthetic_images(digits, images=images):
        batch = canonical_batch(made)
        seen = np.array([error is None for error in batch.errors])
        # Preprocessing rejects blank images before the model sees them.
        confidence = predict(batch.digits[seen]).max(axis=1) if seen.any() else np.zeros(0)
        found[kind] = Unfamiliar(images, int((~seen).sum()), int((confidence >= threshold).sum()))
    return found


def _letter(rng: np.random.Generator) -> np.ndarray:
    sheet = np.full((_SHEET, _SHEET), 255, np.uint8)
    letter = LETTERS[rng.integers(len(LETTERS))]
    font, scale, stroke = _FONTS[rng.integers(len(_FONTS))], rng.uniform(1.2, 2.2), int(rng.integers(2, 7))
    place = (int(rng.integers(14, 30)), int(rng.integers(58, 74)))
    cv2.putText(sheet, letter, place, font, scale, 0, stroke, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((_SHEET / 2, _SHEET / 2), rng.uniform(-12, 12), 1)
    turn[0, 1] += rng.uniform(-0.15, 0.15)
    return cv2.warpAffine(sheet, turn, (_SHEET, _SHEET), borderValue=255)


def _pair(digits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image of two digits side by side, ink on white paper."""
    left, right = (crop(digits[rng.integers(len(digits))]) for _ in range(2))
    sheet = side_by_side(left, right, gap=int(rng.integers(1, 6)), margin=4)
    return 255 - cv2.resize(sheet, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
