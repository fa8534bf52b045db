import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from digitmill.imaging.batch import decode_batch
from schemas.model import bundle
from trainer.bundle.encoded import canonical_digits


@pytest.fixture(scope="module")
def canonical():
    graph = tf.function(canonical_digits, input_signature=[tf.TensorSpec([None], tf.string)])
    return lambda files: graph(tf.constant(files)).numpy()


def encoded(pictures, kind: str = ".png") -> list[bytes]:
    return [cv2.imencode(kind, picture)[1].tobytes() for picture in pictures]


def on_paper(digit: np.ndarray, factor: int = 4) -> np.ndarray:
    """Dark ink on light gray paper with some grain, off the center."""
    ink = cv2.resize(digit, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC).astype(float)
    framed = cv2.copyMakeBorder(ink, 10, 30, 5, 50, cv2.BORDER_CONSTANT)
    grain = np.random.default_rng(0).normal(0, 3, framed.shape)
    return np.clip(215 - 0.7 * framed + grain, 0, 255).astype(np.uint8)


def in_the_corner(digit: np.ndarray) -> np.ndarray:
    return np.pad(cv2.resize(digit, (14, 14), interpolation=cv2.INTER_AREA), ((1, 13), (13, 1)))


MAKERS = {
    "paper": on_paper,
    "larger": lambda digit: cv2.resize(digit, (200, 200), interpolation=cv2.INTER_CUBIC),
    "smaller": lambda digit: 255 - cv2.resize(digit, (20, 20), interpolation=cv2.INTER_AREA),
    "negative": lambda digit: 255 - digit,
    "faint": lambda digit: digit // 5,
    "off the center": in_the_corner,
    "wide": lambda digit: cv2.copyMakeBorder(255 - digit, 3, 3, 60, 90, cv2.BORDER_CONSTANT, value=255),
    "ink as opacity": lambda digit: np.dstack([np.zeros((28, 28, 3), np.uint8), digit]),
}


@pytest.mark.slow
def test_canonical_pngs_pass_byte_for_byte(canonical, digits):
    assert (canonical(encoded(digits)) == digits).all()


def test_inverted_canonical_pngs_come_back_byte_for_byte(canonical, digits):
    assert (canonical(encoded(255 - digits[:50])) == digits[:50]).all()


@pytest.mark.parametrize("kind", [".png", ".bmp"])
def test_canonical_digits_in_color_pass_byte_for_byte(canonical, digits, kind):
    color = [cv2.cvtColor(digit, cv2.COLOR_GRAY2BGR) for digit in digits[:50]]
    assert (canonical(encoded(color, kind)) == digits[:50]).all()


def test_colors_become_the_same_gray_as_in_imaging(canonical):
    # As large as a canonical digit, and in the middle, so that the levels themselves are seen.
    pictures = np.zeros((20, 28, 28, 3), np.uint8)
    pictures[:, 4:24, 4:24] = np.random.default_rng(1).integers(1, 256, (20, 20, 20, 3))
    files = encoded(pictures)
    assert (canonical(files) == decode_batch(files, len(files)).digits).all()


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, ".png") for name in MAKERS), ("paper", ".jpg"), ("negative", ".jpg")]
)
def test_other_images_are_nearly_the_same_as_in_imaging(canonical, digits, name, kind):
    files = encoded([MAKERS[name](digit) for digit in digits[:100]], kind)
    expected = decode_batch(files, len(files))
    assert not any(expected.errors)
    difference = np.abs(canonical(files).astype(int) - expected.digits).mean(axis=(1, 2))
    # Of 28 x 28 gray levels; a digit that lies a pixel further differs by some 20.
    assert np.median(difference) < 8
    assert (difference < 20).mean() > 0.9


def test_blank_pictures_give_an_empty_digit(canonical):
    blank = [np.full((40, 40), level, np.uint8) for level in (0, 128, 255)]
    clear = [np.zeros((30, 30, 4), np.uint8)]
    assert (canonical(encoded([*blank, *clear])) == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_any_shape_gives_a_digit(canonical, shape):
    picture = np.full(shape, 255, np.uint8)
    picture[0, 0] = 0
    assert canonical(encoded([picture])).shape == (1, 28, 28)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_an_error(canonical, digits, content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        canonical([*encoded(digits[:2]), content])


def test_no_files_give_no_digits(canonical):
    assert canonical(np.zeros(0, object).astype(bytes)).shape == (0, 28, 28)


def test_a_bundles_signature_predicts_files_like_digits(bundle_path, digits):
    signature = tf.saved_model.load(str(bundle_path / bundle.SAVED_MODEL)).signatures[
        bundle.ENCODED_SIGNATURE
    ]
    answers = signature(**{bundle.ENCODED_INPUT: tf.constant(encoded(digits))})
    assert set(answers) == {bundle.OUTPUT, bundle.DIGIT, bundle.CONFIDENCE}
    model = keras.models.load_model(bundle_path / bundle.KERAS_MODEL)
    expected = model(digits, training=False).numpy()
    assert answers[bundle.OUTPUT].numpy() == pytest.approx(expected, abs=1e-5)
    assert (answers[bundle.DIGIT].numpy() == expected.argmax(axis=1)).all()
    assert answers[bundle.CONFIDENCE].numpy() == pytest.approx(expected.max(axis=1), abs=1e-5)


@pytest.mark.slow
def test_resized_files_are_predicted_like_imagings_digits(bundle_path, digits):
    signature = tf.saved_model.load(str(bundle_path / bundle.SAVED_MODEL)).signatures[
        bundle.ENCODED_SIGNATURE
    ]
    files = encoded([on_paper(digit) for digit in digits])
    answered = signature(**{bundle.ENCODED_INPUT: tf.constant(files)})[bundle.DIGIT].numpy()
    model = keras.models.load_model(bundle_path / bundle.KERAS_MODEL)
    expected = model(decode_batch(files, len(files)).digits, training=False).numpy().argmax(axis=1)
    assert (answered == expected).mean() > 0.96
