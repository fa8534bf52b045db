"""Pictures of one shape, canonicalized together, come out as one by one."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitmill.imaging import batch, canonical
from digitmill.imaging.canonical import canonicalize, canonicalize_alike
from schemas.failure import FailureCode, ImageError
from tests.digitmill.imaging import wild

SHAPES = [
    (28, 28),
    (64, 64),
    (32, 32),
    (48, 64),
    (64, 40),
    (57, 43),
    (16, 20),
    (128, 128),
    (100, 150),
    (60, 250),
]


def alone(picture: np.ndarray) -> np.ndarray | ImageError:
    try:
        return canonicalize(picture)
    except ImageError as error:
        return error


def check(pictures: list[np.ndarray]) -> None:
    """Compare each outcome with that of the picture alone."""
    outcomes = canonicalize_alike(pictures)
    assert len(outcomes) == len(pictures)
    for picture, outcome in zip(pictures, outcomes, strict=True):
        expected = alone(picture)
        if isinstance(expected, ImageError):
            assert isinstance(outcome, ImageError)
            assert (outcome.code, str(outcome)) == (expected.code, str(expected))
        else:
            np.testing.assert_array_equal(outcome, expected)


def scan(digit: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Dark ink on grainy paper lit from one side, somewhere in the picture."""
    side = round(rng.uniform(0.4, 0.95) * min(shape))
    ink = np.zeros(shape, np.float32)
    top, left = rng.integers(0, shape[0] - side + 1), rng.integers(0, shape[1] - side + 1)
    ink[top : top + side, left : left + side] = cv2.resize(digit, (side, side)) / 255
    return (wild.paper(shape, rng) * (1 - rng.uniform(0.2, 0.9) * ink)).clip(0, 255).astype(np.uint8)


def ruled(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    picture = picture.copy()
    picture[rng.integers(0, len(picture))] //= 3
    return picture


def framed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.rectangle(picture.copy(), (2, 2), (picture.shape[1] - 3, len(picture) - 3), 40, 2)


def paneled(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.copyMakeBorder((255 - picture)[6:-6, 6:-6], 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=250)


def speckled(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(picture.shape) < 0.01, np.uint8(20), picture)


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "plain": lambda picture, _: picture,
    "inverted": lambda picture, _: 255 - picture,
    "ruled": ruled,
    "framed": framed,
    "a panel": paneled,
    "specks": speckled,
    "in colors": lambda picture, _: cv2.merge([picture, picture // 2 + 100, picture]),
    "transparent": lambda picture, _: cv2.merge([picture * 0, picture * 0, picture * 0, 255 - picture]),
    "16 bits": lambda picture, _: picture.astype(np.uint16) * 257,
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_every_kind_of_scan_is_what_it_is_alone(
    digits: np.ndarray, shape: tuple[int, int], change: str
) -> None:
    rng = np.random.default_rng(7)
    check([CHANGES[change](scan(digit, shape, rng), rng) for digit in digits[:40]])


def test_kinds_may_be_mixed(digits: np.ndarray) -> None:
    rng = np.random.default_rng(8)
    changes = [
        change for name, change in CHANGES.items() if name not in ("in colors", "transparent", "16 bits")
    ]
    pictures = [
        changes[n % len(changes)](scan(digit, (64, 64), rng), rng) for n, digit in enumerate(digits[:60])
    ]
    pictures[5:5] = [np.full((64, 64), level, np.uint8) for level in (0, 130, 255)]
    check(pictures)
    outcomes = canonicalize_alike(pictures)
    assert sum(isinstance(outcome, ImageError) for outcome in outcomes) >= 3
    assert outcomes[6].code is FailureCode.BLANK


def test_canonical_digits_of_either_polarity_stay(digits: np.ndarray) -> None:
    small = cv2.copyMakeBorder(cv2.resize(digits[2], (14, 14)), 0, 14, 0, 14, cv2.BORDER_CONSTANT, value=0)
    pictures = [digits[0], 255 - digits[1], small, 255 - small, digits[3]]
    check(pictures)
    np.testing.assert_array_equal(np.stack(canonicalize_alike(pictures)[:2]), digits[:2])


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)).flatmap(
        lambda shape: st.lists(arrays.arrays(np.uint8, shape), min_size=4, max_size=6)
    )
)
def test_any_pictures_are_what_they_are_alone(pictures: list[np.ndarray]) -> None:
    check(pictures)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(20, 90), st.integers(20, 90), st.booleans())
def test_noise_and_strokes_are_what_they_are_alone(seed: int, height: int, width: int, light: bool) -> None:
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(6):
        picture = wild.paper((height, width), rng).clip(0, 255).astype(np.uint8)
        points = rng.integers(0, [width, height], (4, 2)).astype(np.int32)
        cv2.polylines(picture, [points], False, int(rng.integers(0, 200)), int(rng.integers(1, 5)))
        pictures.append(255 - picture if light else picture)
    check(pictures)


def test_no_pictures_and_few_pictures(digits: np.ndarray) -> None:
    assert canonicalize_alike([]) == []
    check([np.pad(digits[0], 9)])


def test_scans_of_one_size_are_searched_together(digits: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    scans = [scan(digit, (64, 64), rng) for digit in digits[:200]]
    expected = [alone(picture) for picture in scans]
    single: list[np.ndarray] = []
    monkeypatch.setattr(canonical, "canonicalize", lambda picture: single.append(picture) or alone(picture))
    decoded = batch.canonical_batch(scans)
    assert len(single) < len(scans) / 3
    np.testing.assert_array_equal(decoded.digits, np.stack(expected))


def test_pictures_of_many_sizes_do_not_wait_in_memory_for_others(
    digits: np.ndarray, png_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(10)
    scans = [scan(digit, (1000 + n, 1000), rng) for n, digit in enumerate(digits[:40])]
    given, done = 0, 0

    def counted(pictures: Sequence[np.ndarray]) -> list[np.ndarray | ImageError]:
        nonlocal done
        done += sum(picture.nbytes for picture in pictures)
        return canonicalize_alike(pictures)

    def files() -> Iterator[bytes]:
        nonlocal given
        for picture in scans:
            assert given - done <= 16 * 2**20
            yield png_of(picture)
            given += picture.nbytes

    monkeypatch.setattr(batch, "canonicalize_alike", counted)
    decoded = batch.decode_batch(files(), len(scans))
    assert done == given > 32 * 2**20
    np.testing.assert_array_equal(decoded.digits, np.stack([canonicalize(picture) for picture in scans]))


@pytest.mark.parametrize("shape", [(20, 1), (1, 20), (2, 2), (1, 1)], ids=str)
@pytest.mark.parametrize("light", [False, True])
def test_pictures_that_are_lines_or_points(shape: tuple[int, int], light: bool) -> None:
    pictures = [np.full(shape, 200, np.uint8) for _ in range(6)]
    for number, picture in enumerate(pictures):
        picture.flat[number % picture.size] = 10
    check([255 - picture if light else picture for picture in pictures])
