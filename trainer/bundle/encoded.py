"""Decodes image files to canonical digits in TensorFlow's graph, for serving systems that receive files.

A subset of `digitmill.imaging`: canonical digits pass through byte for byte, dark ink on clean light paper
(or the reverse) comes out nearly the same. Missing are the handling of uneven light, ruled lines, frames and
specks, EXIF orientation, the check for blank images, and the guards against damaged and oversized files.
16-bit images lose their lower eight bits. TIFF and WebP are not supported.
"""

from typing import Final

import tensorflow as tf

from digitmill.imaging.native import CENTER, NATIVE_INK, NATIVE_TOLERANCE
from schemas.digit import BOX, SIDE

_WEIGHTS: Final = (9_798, 19_235, 3_735)
"""OpenCV's weights of red, green and blue in gray, in 1/32768."""

_BITS: Final = 15
_OPAQUE: Final = 128
_EDGE: Final = 0.25
"""Share of the darkest ink at which the digit ends, as in `digitmill.imaging.canonical`."""

_GRAIN: Final = 0.15
"""Share of the darkest ink below which pixels are taken for paper."""


def canonical_digits(contents: tf.Tensor) -> tf.Tensor:
    """Return the canonical digits of image files, uint8[N, 28, 28].

    Args:
        contents: string[N] of PNG, JPEG, GIF (first frame) or BMP files. Any other or damaged file fails the
            whole batch with InvalidArgumentError.
    """
    spec = tf.TensorSpec([SIDE, SIDE], tf.uint8)
    return tf.map_fn(_canonical_digit, contents, fn_output_signature=spec)


def _canonical_digit(content: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(content, channels=0, dtype=tf.uint8, expand_animations=False)
    gray = _gray(tf.cast(image, tf.int32))
    digit = tf.case(
        [(_is_native(gray), lambda: gray), (_is_native(255 - gray), lambda: 255 - gray)],
        default=lambda: _fitted(gray),
    )
    return tf.ensure_shape(tf.cast(digit, tf.uint8), [SIDE, SIDE])


def _is_native(gray: tf.Tensor) -> tf.Tensor:
    """Whether int32[height, width] is a canonical digit, as `digitmill.imaging.native` tells them."""
    in_rows, in_columns = tf.reduce_sum(gray, axis=1), tf.reduce_sum(gray, axis=0)
    top, bottom = _span(in_rows)
    left, right = _span(in_columns)
    longest = tf.maximum(bottom - top, right - left)
    return (
        tf.reduce_all(tf.equal(tf.shape(gray), SIDE))
        & (tf.reduce_max(gray) >= NATIVE_INK)
        & (tf.abs(longest - BOX) <= NATIVE_TOLERANCE)
        & _is_centered(in_rows, top, bottom)
        & _is_centered(in_columns, left, right)
    )


def _span(sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the first place that is not 0 and the place after the last; both are 0 where all are."""
    used = tf.cast(tf.where(sums > 0)[:, 0], tf.int32)
    used = tf.cond(tf.size(used) > 0, lambda: used, lambda: tf.constant([0, -1]))
    return used[0], used[-1] + 1


def _is_centered(sums: tf.Tensor, first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Whether the center of mass is in the middle, or would be if the picture's edge were not in the way."""
    mass = tf.reduce_sum(sums)
    off = tf.reduce_sum(sums * tf.range(tf.size(sums))) - CENTER * mass
    return (tf.abs(off) <= mass) | ((off > 0) & (first == 0)) | ((off < 0) & (end == SIDE))


def _gray(image: tf.Tensor) -> tf.Tensor:
    """Return gray levels, int32[height, width], of int32[height, width, channels], on paper."""
    channels = tf.shape(image)[2]

    def weighted() -> tf.Tensor:
        products = tf.reduce_sum(image[..., :3] * tf.constant(_WEIGHTS), axis=-1)
        return tf.bitwise.right_shift(products + (1 << (_BITS - 1)), _BITS)

    gray = tf.cond(channels >= 3, weighted, lambda: image[..., 0])
    return tf.cond(channels % 2 == 0, lambda: _over_paper(gray, image[..., -1]), lambda: gray)


def _over_paper(gray: tf.Tensor, opacity: tf.Tensor) -> tf.Tensor:
    """Return an image composed over white paper, or over black paper if its visible pixels are light."""
    visible = tf.cast(tf.boolean_mask(gray, opacity >= _OPAQUE), tf.float32)
    # Without visible pixels, the mean is NaN, and the result is black paper.
    paper = tf.where(tf.reduce_mean(visible) < 128, 255.0, 0.0)
    weight = tf.cast(opacity, tf.float32) / 255
    return tf.cast(tf.round(tf.cast(gray, tf.float32) * weight + paper * (1 - weight)), tf.int32)


def _border_mean(gray: tf.Tensor) -> tf.Tensor:
    edges = [gray[0], gray[-1], gray[:, 0], gray[:, -1]]
    return tf.reduce_mean(tf.cast(tf.concat(edges, axis=0), tf.float32))


def _fitted(gray: tf.Tensor) -> tf.Tensor:
    """Return int32[28, 28]: the ink cropped, fitted into the box and centered by mass."""
    level = tf.cast(gray, tf.float32)
    paper = _border_mean(gray)
    # Ink is on the side of the paper's level that reaches further.
    is_dark = paper - tf.reduce_min(level) >= tf.reduce_max(level) - paper
    ink = tf.maximum(tf.where(is_dark, paper - level, level - paper), 0)
    # At least 1, for images without ink.
    strongest = tf.maximum(tf.reduce_max(ink), 1)
    ink = tf.where(ink < _GRAIN * strongest, 0.0, ink)
    rows = tf.where(tf.reduce_any(ink >= _EDGE * strongest, axis=1))[:, 0]
    columns = tf.where(tf.reduce_any(ink >= _EDGE * strongest, axis=0))[:, 0]
    return tf.cond(
        tf.size(rows) > 0,
        lambda: _centered(_boxed(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])),
        lambda: tf.zeros([SIDE, SIDE], tf.int32),
    )


def _boxed(ink: tf.Tensor) -> tf.Tensor:
    """Return ink scaled to at most 20 x 20, keeping its aspect, with a maximum of 255; float32."""
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


def _centered(ink: tf.Tensor) -> tf.Tensor:
    """Return ink with its center of mass in the middle of the image, as `digitmill.imaging` does."""
    ink = tf.round(ink)
    mass = tf.maximum(tf.reduce_sum(ink), 1)
    size = tf.shape(ink)
    rows = tf.reduce_sum(tf.reduce_sum(ink, axis=1) * tf.cast(tf.range(size[0]), tf.float32)) / mass
    columns = tf.reduce_sum(tf.reduce_sum(ink, axis=0) * tf.cast(tf.range(size[1]), tf.float32)) / mass
    place = tf.cast(tf.math.ceil((SIDE - 1) / 2 - tf.stack([rows, columns])), tf.int32)
    place = tf.clip_by_value(place, 0, SIDE - size)
    picture = tf.pad(ink, tf.stack([place, SIDE - size - place], axis=1))
    return tf.cast(picture, tf.int32)
