"""What pens, forms and scanners do to digits, for a whole batch at once: part of `augmentation`.

All take and return float32[N, 28, 28], 0 = paper, 255 = ink; values may leave that range.
"""

import math
from typing import Final

import numpy as np
import tensorflow as tf

from schemas.digit import BOX, SIDE
from trainer.recipes.parts.draw import Draw

_INK: Final = 255.0
_CENTER: Final = (SIDE - 1) / 2

_COARSEST, _FINEST = 8, 14
"""Pixels that a digit's longer side has before it is enlarged again."""

_PHASES: Final = 4
"""Places of the coarser grid's first pixel, per axis."""

_CELL: Final = 2
"""Side of a speck, pixels."""


def change_strokes(pixels: tf.Tensor, draw: Draw, most: float) -> tf.Tensor:
    """Make strokes thicker or thinner by up to `most` pixels, at most one, on each side.

    Thinning is half as strong, because more would break thin strokes.
    """
    amount = draw.uniform(-most / 2, most)[:, None, None]
    padded = tf.pad(pixels, [[0, 0], [1, 1], [1, 1]])
    around = [padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]]
    thicker, thinner = pixels, pixels
    for beside in around:
        thicker, thinner = tf.maximum(thicker, beside), tf.minimum(thinner, beside)
    return pixels + amount * tf.where(amount > 0, thicker - pixels, pixels - thinner)


def add_neighbors(pixels: tf.Tensor, draw: Draw, share: float) -> tf.Tensor:
    """Add a part of another image of the batch at the left or right edge of a share of the images."""
    # The other's middle lies beyond the edge: half of it or less is seen.
    distance = draw.uniform(16, 22) * tf.where(draw.uniform(0, 1) < 0.5, -1.0, 1.0)
    level = draw.symmetric(4)
    ones, zeros = tf.ones_like(distance), tf.zeros_like(distance)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.roll(pixels, 1, axis=0)[..., None],
        transforms=tf.stack([ones, zeros, distance, zeros, ones, level, zeros, zeros], axis=1),
        output_shape=[SIDE, SIDE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[..., 0]
    return tf.maximum(pixels, moved * draw.chosen(share)[:, None, None])


def add_lines(pixels: tf.Tensor, draw: Draw, share: float) -> tf.Tensor:
    """Add a thin line, of ink or equally often of paper, across a share of the images."""
    angle, offset = draw.symmetric(math.pi / 2), draw.symmetric(9)
    line = _line(angle, offset, thickness=draw.uniform(0.7, 2))
    line *= (draw.uniform(0.4, 1) * draw.chosen(share))[:, None, None]
    is_ink = (draw.uniform(0, 1) < 0.5)[:, None, None]
    return tf.where(is_ink, tf.maximum(pixels, _INK * line), pixels * (1 - line))


def add_frames(pixels: tf.Tensor, draw: Draw, share: float) -> tf.Tensor:
    """Add one or two sides of a cell's frame near the edges of a share of the images."""
    strength = draw.uniform(0.4, 1) * draw.chosen(share)
    for upright in (0.0, math.pi / 2):
        angle = upright + draw.symmetric(0.06)
        offset = draw.uniform(10.5, _CENTER) * tf.where(draw.uniform(0, 1) < 0.5, -1.0, 1.0)
        side = _line(angle, offset, thickness=draw.uniform(1, 3))
        pixels = tf.maximum(pixels, _INK * side * (strength * draw.chosen(0.7))[:, None, None])
    return pixels


def _line(angle: tf.Tensor, offset: tf.Tensor, *, thickness: tf.Tensor) -> tf.Tensor:
    """Return straight lines, float32[N, 28, 28] in [0, 1], by angle and distance from the middle."""
    at = tf.range(SIDE, dtype=tf.float32) - _CENTER
    across = tf.sin(angle)[:, None, None] * at[None, None, :]
    down = tf.cos(angle)[:, None, None] * at[None, :, None]
    distance = tf.abs(across + down - offset[:, None, None])
    return tf.clip_by_value((thickness[:, None, None] + 1) / 2 - distance, 0, 1)


def coarsen(pixels: tf.Tensor, draw: Draw, share: float) -> tf.Tensor:
    """Redraw a share of the images from a version with 8 to 14 pixels on the digit's longer side."""
    maps = tf.constant(_RESAMPLED)
    chosen = draw.chosen(share)[:, None, None] > 0
    first = tf.cast(draw.uniform(0, len(_RESAMPLED) / _PHASES), tf.int32) * _PHASES
    phases = tf.cast(draw.uniform(0, _PHASES, 2), tf.int32)
    down, across = tf.gather(maps, first + phases[:, 0]), tf.gather(maps, first + phases[:, 1])
    coarse = down @ pixels @ tf.linalg.matrix_transpose(across)
    # Preprocessing makes a digit's brightest pixel white.
    brightest = tf.reduce_max(pixels, axis=[1, 2]) / tf.maximum(tf.reduce_max(coarse, axis=[1, 2]), 1.0)
    return tf.where(chosen, coarse * brightest[:, None, None], pixels)


def _resampling(pixels: int, phase: float) -> np.ndarray:
    """Return float32[28, 28]: means over that many equal parts of a row, enlarged linearly.

    Args:
        pixels: parts of a row.
        phase: of a part, by which all are moved.
    """
    edges = (np.arange(pixels + 2) - phase) * SIDE / pixels
    at = np.arange(SIDE)
    reached = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    shrunk = np.maximum(reached, 0) * pixels / SIDE
    middles = (edges[1:] + edges[:-1]) / 2
    enlarged = np.stack([np.interp(at + 0.5, middles, unit) for unit in np.eye(pixels + 1)], axis=1)
    return (enlarged @ shrunk).astype(np.float32)


_RESAMPLED: Final = np.stack(
    [
        _resampling(round(SIDE * side / BOX), phase / _PHASES)
        for side in range(_COARSEST, _FINEST + 1)
        for phase in range(_PHASES)
    ]
)
"""For each resolution, one for each phase."""


def add_specks(pixels: tf.Tensor, draw: Draw, most: float) -> tf.Tensor:
    """Cover up to a share `most` of all 2 x 2 spots with ink or, equally often, paper."""
    cells = SIDE // _CELL
    share = draw.uniform(0, most)[:, None, None]
    drawn = draw.uniform(0, 1, cells, cells)
    spots = tf.where(drawn < share / 2, 1.0, 0.0) - tf.where(drawn > 1 - share / 2, 1.0, 0.0)
    spots = tf.repeat(tf.repeat(spots, _CELL, axis=1), _CELL, axis=2)
    return tf.where(spots > 0, _INK, tf.where(spots < 0, 0.0, pixels))


def add_speckle(pixels: tf.Tensor, draw: Draw, most: float) -> tf.Tensor:
    """Make the ink grainy, with a standard deviation of up to a share `most` of its brightness."""
    return pixels * (1 + draw.uniform(0, most)[:, None, None] * draw.noise())


def add_veil(pixels: tf.Tensor, draw: Draw, most: float, *, spline: tf.Tensor) -> tf.Tensor:
    """Add a smooth, uneven veil of up to `most` gray levels, which is strongest on paper.

    Args:
        pixels: the images.
        draw: what is drawn from.
        most: gray levels.
        spline: float32[28, knots], weights of a row's pixels on knots.
    """
    knots = draw.uniform(0, most, spline.shape[1], spline.shape[1])
    field = tf.einsum("ik,nkl,jl->nij", spline, knots, spline)
    return pixels + field * (1 - pixels / _INK)
