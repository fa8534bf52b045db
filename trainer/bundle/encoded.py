"""Decodes image files to canonical digits in TensorFlow's graph, for serving systems that receive files.

A subset of `digitmill.imaging`: canonical digits pass through byte for byte, dark ink on clean light paper
(or the reverse) comes out nearly the same. Missing are the handling of uneven light, ruled lines, frames and
specks, EXIF orientation, the check for blank images, and the guards against damaged and oversized files.
16-bit images lose their lower eight bits. TIFF and WebP are not supported.
"""

from typing import Final

import tensorflow as tf

from digitmill.imaging.native import CENTRE, NATIVE_INK, NATIVE_TOLERANCE
from schemas.digit import BOX, SIDE

_WEIGHTS: Final = (9_798, 19_235, 3_735)
"""OpenCV's weights of red, green and blue in grey, in 1/32768."""

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
    grey = _grey(tf.cast(image, tf.int32))
    digit = tf.case(
        [(_is_native(grey), lambda: grey), (_is_native(255 - grey), lambda: 255 - grey)],
        default=lambda: _fitted(grey),
    )
    return tf.ensure_shape(tf.cast(digit, tf.uint8), [SIDE, SIDE])


def _is_native(grey: tf.Tensor) -> tf.Tensor:
    """Whether int32[height, width] is a canonical digit, as `digitmill.imaging.native` tells them."""
    in_rows, in_columns = tf.reduce_sum(grey, axis=1), tf.reduce_sum(grey, axis=0)
    top, bottom = _span(in_rows)
    left, right = _span(in_columns)
    longest = tf.maximum(bottom - top, right - left)
    return (
        tf.reduce_all(tf.equal(tf.shape(grey), SIDE))
        & (tf.reduce_max(grey) >= NATIVE_INK)
        & (tf.abs(longest - BOX) <= NATIVE_TOLERANCE)
        & _is_centred(in_rows, top, bottom)
        & _is_centred(in_columns, left, right)
    )


def _span(sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the first place that is not 0 and the place after the last; both are 0 where all are."""
    used = tf.cast(tf.where(sums > 0)[:, 0], tf.int32)
    used = tf.cond(tf.size(used) > 0, lambda: used, lambda: tf.constant([0, -1]))
    return used[0], used[-1] + 1


def _is_centred(sums: tf.Tensor, first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Whether the centre of mass is in the middle, or would be if the picture's edge were not in the way."""
    mass = tf.reduce_sum(sums)
    off = tf.reduce_sum(sums * tf.range(tf.size(sums))) - CENTRE * mass
    return (tf.abs(off) <= mass) | ((off > 0) & (first == 0)) | ((off < 0) & (end == SIDE))


def _grey(image: tf.Tensor) -> tf.Tensor:
    """Return grey levels, int32[height, width], of int32[height, width, channels], on paper."""
    channels = tf.shape(image)[2]

    def weighted() -> tf.Tensor:
        products = tf.reduce_sum(image[..., :3] * tf.constant(_WEIGHTS), axis=-1)
        return tf.bitwise.right_shift(products + (1 << (_BITS - 1)), _BITS)

    grey = tf.cond(channels >= 3, weighted, lambda: image[..., 0])
    return tf.cond(channels % 2 == 0, lambda: _over_paper(grey, image[..., -1]), lambda: grey)


def _over_paper(grey: tf.Tensor, opacity: tf.Tensor) -> tf.Tensor:
    """Return an image composed over white paper, or over black paper if its visible pixels are light."""
    visible = tf.cast(tf.boolean_mask(grey, opacity >= _OPAQUE), tf.float32)
    # Without visible pixels, the mean is NaN, and the result is black paper.
    paper = tf.where(tf.reduce_mean(visible) < 128, 255.0, 0.0)
    weight = tf.cast(opacity, tf.float32) / 255
    return tf.cast(tf.round(tf.cast(grey, tf.float32) * weight + paper * (1 - weight)), tf.int32)


def _border_mean(grey: tf.Tensor) -> tf.Tensor:
    edges = [grey[0], grey[-1], grey[:, 0], grey[:, -1]]
    return tf.reduce_mean(tf.cast(tf.concat(edges, axis=0), tf.float32))


def _fitted(grey: tf.Tensor) -> tf.Tensor:
    """Return int32[28, 28]: the ink cropped, fitted into the box and centred by mass."""
    level = tf.cast(grey, tf.float32)
    paper = _border_mean(grey)
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
        lambda: _centred(_boxed(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])),
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


def _centred(ink: tf.Tensor) -> tf.Tensor:
    """Return ink with its centre of mass in the middle of the image, as `digitmill.imaging` does."""
    ink = tf.round(ink)
    mass = tf.maximum(tf.reduce_sum(ink), 1)
    size = tf.shape(ink)
    rows = tf.reduce_sum(tf.reduce_sum(ink, axis=1) * tf.cast(tf.range(size[0]), tf.float32)) / mass
    columns = tf.reduce_sum(tf.reduce_sum(ink, axis=0) * tf.cast(tf.range(size[1]), tf.float32)) / mass
    place = tf.cast(tf.math.ceil((SIDE - 1) / 2 - tf.stack([rows, columns])), tf.int32)
    place = tf.clip_by_value(place, 0, SIDE - size)
    picture = tf.pad(ink, tf.stack([place, SIDE - size - place], axis=1))
    return tf.cast(picture, tf.int32)
