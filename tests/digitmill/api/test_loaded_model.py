import io
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

import digitmill
from schemas.failure import FailureCode


@pytest.fixture(scope="module")
def model(bundle_path: pathlib.Path) -> digitmill.Model:
    return digitmill.load(bundle_path)


@pytest.fixture
def paper() -> Callable[[np.ndarray], np.ndarray]:
    """Return a digit as dark ink on a larger sheet of light paper, uint8[56, 84]."""

    def drawn(digit: np.ndarray) -> np.ndarray:
        sheet = np.full((56, 84), 240, np.uint8)
        sheet[14:42, 28:56] -= (digit * 0.8).astype(np.uint8)
        return sheet

    return drawn


def test_all_kinds_of_images_say_the_same(
    model: digitmill.Model, digits: np.ndarray, png_of: Callable, tmp_path: pathlib.Path
) -> None:
    digit, file = digits[0], tmp_path / "näme ü.png"
    file.write_bytes(png_of(digit))
    color = np.stack([digit] * 3, axis=-1)
    forms = [
        str(file),
        file,
        file.as_uri(),
        file.read_bytes(),
        digit,
        digit[:, :, None],
        digit[::-1][::-1],
        digit.astype(np.uint16) * 257,
        color,
        np.dstack([color, np.full(digit.shape, 255, np.uint8)]),
        Image.fromarray(digit),
        Image.fromarray(color),
        Image.open(file),
    ]
    found = model.predict(forms)
    assert found.errors == [None] * len(forms) == [None] * len(found)
    assert len(set(found.digits.tolist())) == 1
    np.testing.assert_array_equal(found.probabilities, np.repeat(found.probabilities[:1], len(forms), axis=0))
    np.testing.assert_array_equal(found.confidences, found.probabilities.max(axis=1))


def test_colors_are_red_green_blue(paper: Callable, digits: np.ndarray) -> None:
    sheet = np.dstack([paper(digits[0]), np.full((56, 84), 30, np.uint8), np.full((56, 84), 200, np.uint8)])
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG")
    as_file = digitmill.canonicalize(file.getvalue())
    np.testing.assert_array_equal(digitmill.canonicalize(sheet), as_file)
    np.testing.assert_array_equal(digitmill.canonicalize(Image.fromarray(sheet)), as_file)
    assert (digitmill.canonicalize(np.ascontiguousarray(sheet[:, :, ::-1])) != as_file).any()


def test_a_picture_is_turned_as_its_camera_says(paper: Callable, digits: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(paper(digits[0])).save(file, "JPEG", exif=exif, quality=100)
    opened = digitmill.canonicalize(Image.open(io.BytesIO(file.getvalue())))
    read = digitmill.canonicalize(file.getvalue())
    # Pillow and OpenCV decode JPEG slightly differently.
    assert np.abs(opened.astype(int) - read).max() <= 24
    upright = digitmill.canonicalize(paper(digits[0]))
    assert np.abs(np.rot90(upright, -1).astype(int) - read).mean() < np.abs(upright.astype(int) - read).mean()


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("nowhere.png", FailureCode.MISSING),
        ("ftp://host/a.png", FailureCode.UNREADABLE),
        (b"", FailureCode.EMPTY),
        (b"no image", FailureCode.UNSUPPORTED),
        (np.zeros((28, 28)), FailureCode.UNSUPPORTED),
        (np.zeros((28, 28, 2), np.uint8), FailureCode.UNSUPPORTED),
        (np.zeros(28, np.uint8), FailureCode.UNSUPPORTED),
        (np.zeros((0, 5), np.uint8), FailureCode.EMPTY),
        (np.broadcast_to(np.uint8(0), (5000, 5000)), FailureCode.TOO_LARGE),
        (np.full((40, 40), 255, np.uint8), FailureCode.BLANK),
        (Image.new("L", (0, 3)), FailureCode.EMPTY),
        (Image.new("F", (30, 30)), FailureCode.UNSUPPORTED),
        (None, FailureCode.UNSUPPORTED),
        ([1, 2], FailureCode.UNSUPPORTED),
    ],
)
def test_what_cannot_be_read_fails_alone(
    model: digitmill.Model, digits: np.ndarray, image: object, code: FailureCode
) -> None:
    found = model.predict([digits[0], image, digits[1]])
    error = found.errors[1]
    assert error is not None
    assert error.code == code
    assert error.detail
    assert found.digits[1] == -1
    assert np.isnan(found.confidences[1])
    assert np.isnan(found.probabilities[1]).all()
    assert found.decisions[1] is None
    alone = model.predict([digits[0], digits[1]])
    np.testing.assert_array_equal(found.probabilities[[0, 2]], alone.probabilities)
    with pytest.raises(digitmill.ImageError) as caught:
        digitmill.canonicalize(image)
    assert caught.value.code == code


def test_a_pil_image_whose_file_is_cut_off_fails_alone(
    model: digitmill.Model, digits: np.ndarray, png_of: Callable
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)
    cut = Image.open(io.BytesIO(png_of(noise)[:20_000]))
    found = model.predict([cut, digits[0]])
    assert [error and error.code for error in found.errors] == [FailureCode.CORRUPT, None]


def test_many_images_of_an_iterator_come_back_in_order(
    model: digitmill.Model, digits: np.ndarray, png_of: Callable
) -> None:
    some = np.concatenate([digits] * 3)[:1_100]

    def mixed() -> Iterator[object]:
        for number, digit in enumerate(some):
            yield png_of(digit) if number % 3 == 0 else digit if number % 7 else b"no image"

    found = model.predict(mixed())
    failed = np.array([number % 3 != 0 and number % 7 == 0 for number in range(len(some))])
    np.testing.assert_array_equal(found.digits == -1, failed)
    expected = model.predict(some)
    np.testing.assert_array_equal(found.digits[~failed], expected.digits[~failed])
    np.testing.assert_array_equal(found.confidences[~failed], expected.confidences[~failed])


def test_decisions_are_by_the_accept_threshold(model: digitmill.Model, digits: np.ndarray) -> None:
    found = model.predict(digits[:300])
    sure = found.confidences >= np.float32(model.accept_threshold)
    assert [decision == "accept" for decision in found.decisions] == sure.tolist()
    assert 0 < sure.sum() < 300


def test_no_image_is_no_prediction(model: digitmill.Model) -> None:
    found = model.predict([])
    assert len(found) == 0
    assert found.probabilities.shape == (0, 10)


@pytest.mark.parametrize("image", ["a.png", pathlib.Path("a.png"), b"", np.zeros((28, 28), np.uint8)])
def test_a_single_image_is_an_error_that_says_what_to_write(model: digitmill.Model, image: object) -> None:
    with pytest.raises(digitmill.UserError, match=r"predict needs a list of images.*predict\(\[image\]\)"):
        model.predict(image)


def test_a_model_shows_its_card(model: digitmill.Model) -> None:
    page = model._repr_html_()
    assert model.card._repr_html_() == page
    assert "<b>Accuracy</b>" in page
    assert model.card.recipe in page
    assert repr(model).startswith("<digitmill.Model ")


def test_a_wrong_bundle_or_engine_is_a_user_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(digitmill.UserError, match="not a model bundle"):
        digitmill.load(tmp_path)
    with pytest.raises(digitmill.UserError, match="unknown engine: 'gpu'"):
        digitmill.load(engine="gpu")


def test_a_canonical_digit_stays_as_it_is(digits: np.ndarray) -> None:
    seen = digitmill.canonicalize(digits[0])
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(seen, digits[0])
