"""From image files to canonical digits within TensorFlow's graph, for services that are sent files.

The everyday path of `digitmill.imaging`, and no more: what is canonical already comes out byte for byte the
same, dark ink on clean light paper (or the reverse) nearly so. Not done are what `digitmill.imaging` does
against uneven light, ruled lines, boxes and specks, the turning by EXIF, the check for blank images and the
guards against damaged and oversized files; of 16 bits the lower eight are dropped. TIFF and WebP are not
read.
"""

from typing import Final

import tensorflow as tf

from digitmill.imaging.canonical import NATIVE_BORDER
from schemas.digit import BOX, SIDE

_WEIGHTS: Final = (9_798, 19_235, 3_735)
"""Of red, green and blue in grey, in 1/32768; OpenCV's."""

_BITS: Final = 15
_OPAQUE: Final = 128
_EDGE: Final = 0.25
"""As in `digitmill.imaging.canonical`: the digit ends where it is this share as dark as at its darkest."""

_GRAIN: Final = 0.15
"""What stands out from the paper by less than this share of the darkest ink is paper."""


def canonical_digits(contents: tf.Tensor) -> tf.Tensor:
    """Returns canonical digits, uint8[N, 28, 28], of image files.

    Args:
        contents: string[N], each a whole PNG, JPEG, GIF (first frame) or BMP. One that is none of them,
            or damaged, fails the whole batch with InvalidArgumentError.
    """
    spec = tf.TensorSpec([SIDE, SIDE], tf.uint8)
    return tf.map_fn(_canonical_digit, contents, fn_output_signature=spec)


def _canonical_digit(content: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(content, channels=0, dtype=tf.uint8, expand_animations=False)
    grey = _grey(tf.cast(image, tf.int32))
    is_native = tf.reduce_all(tf.equal(tf.shape(grey), SIDE))
    is_native &= _border_mean(grey) < NATIVE_BORDER
    digit = tf.cond(is_native, lambda: tf.cast(grey, tf.uint8), lambda: _fitted(grey))
    return tf.ensure_shape(digit, [SIDE, SIDE])


def _grey(image: tf.Tensor) -> tf.Tensor:
    """Returns int32[height, width] of int32[height, width, 1 to 4], transparency laid over paper."""
    channels = tf.shape(image)[2]

    def weighted() -> tf.Tensor:
        products = tf.reduce_sum(image[..., :3] * tf.constant(_WEIGHTS), axis=-1)
        return tf.bitwise.right_shift(products + (1 << (_BITS - 1)), _BITS)

    grey = tf.cond(channels >= 3, weighted, lambda: image[..., 0])
    return tf.cond(channels % 2 == 0, lambda: _over_paper(grey, image[..., -1]), lambda: grey)


def _over_paper(grey: tf.Tensor, opacity: tf.Tensor) -> tf.Tensor:
    """Lays a picture over paper that its visible pixels stand out from: white unless they are light."""
    visible = tf.cast(tf.boolean_mask(grey, opacity >= _OPAQUE), tf.float32)
    # An empty mean is NaN, which is not less: nothing is visible, and black paper shows it.
    paper = tf.where(tf.reduce_mean(visible) < 128, 255.0, 0.0)
    weight = tf.cast(opacity, tf.float32) / 255
    return tf.cast(tf.round(tf.cast(grey, tf.float32) * weight + paper * (1 - weight)), tf.int32)


def _border_mean(grey: tf.Tensor) -> tf.Tensor:
    edges = [grey[0], grey[-1], grey[:, 0], grey[:, -1]]
    return tf.reduce_mean(tf.cast(tf.concat(edges, axis=0), tf.float32))


def _fitted(grey: tf.Tensor) -> tf.Tensor:
    """Returns uint8[28, 28]: the ink cropped, fitted into the box and centred by mass."""
    level = tf.cast(grey, tf.float32)
    paper = _border_mean(grey)
    # Ink is on the side of the paper that reaches further from it.
    is_dark = paper - tf.reduce_min(level) >= tf.reduce_max(level) - paper
    ink = tf.maximum(tf.where(is_dark, paper - level, level - paper), 0)
    # At least 1: a picture without ink has nothing to divide by.
    strongest = tf.maximum(tf.reduce_max(ink), 1)
    ink = tf.where(ink < _GRAIN * strongest, 0.0, ink)
    rows = tf.where(tf.reduce_any(ink >= _EDGE * strongest, axis=1))[:, 0]
    columns = tf.where(tf.reduce_any(ink >= _EDGE * strongest, axis=0))[:, 0]
    return tf.cond(
        tf.size(rows) > 0,
        lambda: _centred(_boxed(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])),
        lambda: tf.zeros([SIDE, SIDE], tf.uint8),
    )


def _boxed(ink: tf.Tensor) -> tf.Tensor:
    """Returns ink float32, at most 20 x 20, its aspect kept and its darkest pixel 255."""
    size = tf.cast(tf.shape(ink), tf.float32)
    factor = BOX / tf.reduce_max(size)
    fitted = tf.maximum(tf.cast(tf.round(size * factor), tf.int32), 1)
    picture = ink[None, ..., None]
    resized = tf.cond(
        factor < 1,
        lambda: tf.image.resize(picture, fitted, method="area"),
        lambda: tf.image.resize(picture, fitted, method="bilinear"),
    )[0, ..., 0]
    return resized * (255 / tf.maximum(tf.reduce_max(resized), 1e-6))


def _centred(ink: tf.Tensor) -> tf.Tensor:
    """Places ink with its centre of mass in the middle of the picture, as `digitmill.imaging` does."""
    ink = tf.round(ink)
    mass = tf.maximum(tf.reduce_sum(ink), 1)
    size = tf.shape(ink)
    rows = tf.reduce_sum(tf.reduce_sum(ink, axis=1) * tf.cast(tf.range(size[0]), tf.float32)) / mass
    columns = tf.reduce_sum(tf.reduce_sum(ink, axis=0) * tf.cast(tf.range(size[1]), tf.float32)) / mass
    place = tf.cast(tf.math.ceil((SIDE - 1) / 2 - tf.stack([rows, columns])), tf.int32)
    place = tf.clip_by_value(place, 0, SIDE - size)
    picture = tf.pad(ink, tf.stack([place, SIDE - size - place], axis=1))
    return tf.cast(picture, tf.uint8)
