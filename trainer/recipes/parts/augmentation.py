"""Data augmentation: random geometry, strokes, forms, contrast, blur and noise, for a whole batch at once.

It runs in `tf.data` and depends only on a seed. Keras's augmentation layers work image by image, and in
a model they stay active in the exports.
"""

import dataclasses
import math
from typing import Any, Final

import tensorflow as tf

from schemas.digit import SIDE
from schemas.errors import UserError
from trainer.recipes.parts import wear
from trainer.recipes.parts.draw import Draw

_CENTER: Final = (SIDE - 1) / 2
_INK: Final = 255.0

_KNOTS: Final = 5
"""Control points per side of an elastic deformation."""

_TAPS: Final = 2
"""Radius of the blur, pixels."""


def _up_to(most: float) -> Any:
    return dataclasses.field(default=0.0, metadata={"most": most})


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Greatest amounts of change; each image draws its own, uniformly. `Augmentation()` changes nothing.

    Attributes:
        rotation: either way, degrees.
        shift: along each axis, either way, pixels.
        zoom: in or out, share of the size, in [0, 1).
        shear: sideways per pixel of height, either way.
        elastic: displacement of a point in a smooth random deformation, pixels.
        contrast: change of the ink's brightness, share, in [0, 1).
        blur: standard deviation of a Gaussian blur, pixels, up to 1.5.
        noise: standard deviation of Gaussian noise, gray levels.
        stroke: thickening of strokes to each side, pixels, and half as much thinning.
        neighbors: share of images with a part of another digit at an edge.
        lines: share of images with a thin line across, of ink or of paper.
        frames: share of images with sides of a cell's frame near the edges.
        coarse: share of images drawn again from 8 to 14 pixels of a digit's side.
        specks: share of all spots of 2 x 2 pixels covered by ink or paper.
        speckle: standard deviation of the ink's grain, share of its brightness.
        veil: gray levels of a smooth, uneven veil over the paper.

    Raises:
        UserError: if an amount is out of range.
    """

    rotation: float = _up_to(180)
    shift: float = _up_to(SIDE)
    zoom: float = _up_to(0.9)
    shear: float = _up_to(2)
    elastic: float = _up_to(6)
    contrast: float = _up_to(0.9)
    blur: float = _up_to(1.5)
    noise: float = _up_to(128)
    stroke: float = _up_to(1)
    neighbors: float = _up_to(1)
    lines: float = _up_to(1)
    frames: float = _up_to(1)
    coarse: float = _up_to(1)
    specks: float = _up_to(0.2)
    speckle: float = _up_to(0.5)
    veil: float = _up_to(96)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, most = getattr(self, field.name), field.metadata["most"]
            if not 0 <= value <= most:
                raise UserError(
                    f"augmentation {field.name} is outside [0, {most}]",
                    value=value,
                    hint="choose a value in this range",
                )

    def __bool__(self) -> bool:
        """Whether anything is changed."""
        return any(dataclasses.astuple(self))

    @property
    def is_affine(self) -> bool:
        """Whether images are rotated, shifted, zoomed or sheared."""
        return bool(self.rotation or self.shift or self.zoom or self.shear)


def augment(images: tf.Tensor, *, seed: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Return augmented copies of a batch of digits; the same seed gives the same copies.

    Args:
        images: uint8[N, 28, 28] canonical digits.
        seed: int32[2] or int64[2]; every batch should have its own.
        augmentation: the amounts of change.

    Returns:
        uint8[N, 28, 28].
    """
    if not augmentation:
        return images
    draw = Draw(seed, tf.shape(images)[0])
    pixels = tf.cast(images, tf.float32)
    if augmentation.elastic:
        pixels = _deform(images, *_elastic_sources(draw, augmentation))
    elif augmentation.is_affine:
        pixels = _transform(pixels, _affine(draw, augmentation))
    pixels = _photographed(_worn(pixels, draw, augmentation), draw, augmentation)
    # The cast truncates; adding 0.5 rounds.
    return tf.cast(tf.clip_by_value(pixels + 0.5, 0, _INK), tf.uint8)


def _worn(pixels: tf.Tensor, draw: Draw, augmentation: Augmentation) -> tf.Tensor:
    """Return images after what happens to ink before it is photographed, in this order."""
    for change, amount in (
        (wear.change_strokes, augmentation.stroke),
        (wear.add_neighbors, augmentation.neighbors),
        (wear.add_lines, augmentation.lines),
        (wear.add_frames, augmentation.frames),
        (wear.add_specks, augmentation.specks),
        (wear.coarsen, augmentation.coarse),
    ):
        if amount:
            pixels = change(pixels, draw, amount)
    return pixels


def _photographed(pixels: tf.Tensor, draw: Draw, augmentation: Augmentation) -> tf.Tensor:
    if augmentation.blur:
        pixels = _blur(pixels, draw.uniform(0, augmentation.blur))
    if augmentation.contrast:
        pixels *= (1 + draw.symmetric(augmentation.contrast))[:, None, None]
    if augmentation.speckle:
        pixels = wear.add_speckle(pixels, draw, augmentation.speckle)
    if augmentation.veil:
        pixels = wear.add_veil(pixels, draw, augmentation.veil, spline=_spline())
    if augmentation.noise:
        pixels += draw.uniform(0, augmentation.noise)[:, None, None] * draw.noise()
    return pixels


def _affine(draw: Draw, augmentation: Augmentation) -> tf.Tensor:
    """Return float32[N, 6]: the map from target to source pixels, about the image's center."""
    angle = draw.symmetric(math.radians(augmentation.rotation))
    scale = 1 / (1 + draw.symmetric(augmentation.zoom))
    shear = draw.symmetric(augmentation.shear)
    across, down = draw.symmetric(augmentation.shift), draw.symmetric(augmentation.shift)
    cosine, sine = scale * tf.cos(angle), scale * tf.sin(angle)
    # A rotation and a zoom, then the shear of rows.
    xx, xy = cosine + shear * sine, shear * cosine - sine
    yx, yy = sine, cosine
    x0 = _CENTER - xx * (_CENTER + across) - xy * (_CENTER + down)
    y0 = _CENTER - yx * (_CENTER + across) - yy * (_CENTER + down)
    return tf.stack([xx, xy, x0, yx, yy, y0], axis=1)


def _transform(pixels: tf.Tensor, affine: tf.Tensor) -> tf.Tensor:
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[..., None],
        transforms=tf.pad(affine, [[0, 0], [0, 2]]),
        output_shape=[SIDE, SIDE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return moved[..., 0]


def _elastic_sources(draw: Draw, augmentation: Augmentation) -> tuple[tf.Tensor, tf.Tensor]:
    """Return x and y of each target pixel's source, float32[N, 28, 28] each."""
    affine = _affine(draw, augmentation)[:, :, None, None]
    spline, most = _spline(), augmentation.elastic
    knots = draw.uniform(-most, most, 2, _KNOTS, _KNOTS)
    field = tf.einsum("ik,ndkl,jl->ndij", spline, knots, spline)
    at = tf.range(SIDE, dtype=tf.float32)
    x, y = at[None, None, :], at[None, :, None]
    from_x = affine[:, 0] * x + affine[:, 1] * y + affine[:, 2] + field[:, 0]
    from_y = affine[:, 3] * x + affine[:, 4] * y + affine[:, 5] + field[:, 1]
    return from_x, from_y


def _spline() -> tf.Tensor:
    """Return float32[28, knots]: each pixel's weights on the knots of a uniform cubic B-spline.

    They are positive and sum to one, so that no point moves further than a knot.
    """
    distances = tf.abs(tf.linspace(0.0, _KNOTS - 1.0, SIDE)[:, None] - tf.range(_KNOTS, dtype=tf.float32))
    near = 2 / 3 - distances**2 + distances**3 / 2
    far = tf.maximum(2 - distances, 0) ** 3 / 6
    weights = tf.where(distances < 1, near, far)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def _deform(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Return float32[N, 28, 28]: the images sampled at x and y, bilinearly; paper outside."""
    # A margin of two pixels: points outside are clipped to where all four neighbors are paper.
    padded = tf.pad(images, [[0, 0], [2, 2], [2, 2]])
    x, y = tf.clip_by_value(x + 2, 0, SIDE + 2), tf.clip_by_value(y + 2, 0, SIDE + 2)
    left, top = tf.floor(x), tf.floor(y)
    # The four neighbors' bytes in one word: one gather instead of four.
    corners = [padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]]
    side = SIDE + 3
    words = tf.reshape(tf.bitcast(tf.stack(corners, axis=-1), tf.int32), [-1, side * side])
    index = tf.cast(top * side + left, tf.int32)
    found = tf.gather(words, tf.reshape(index, [-1, SIDE * SIDE]), batch_dims=1)
    around = tf.cast(tf.reshape(tf.bitcast(found, tf.uint8), [-1, SIDE, SIDE, 4]), tf.float32)
    right, below = x - left, y - top
    upper = around[..., 0] + right * (around[..., 1] - around[..., 0])
    lower = around[..., 2] + right * (around[..., 3] - around[..., 2])
    return upper + below * (lower - upper)


def _blur(pixels: tf.Tensor, deviation: tf.Tensor) -> tf.Tensor:
    """Return each image blurred by its own Gaussian; beyond the edges is paper."""
    squares = tf.constant([tap * tap for tap in range(_TAPS + 1)], tf.float32)
    weights = tf.exp(-squares / (2 * tf.maximum(deviation, 1e-3)[:, None] ** 2))
    weights /= weights[:, :1] + 2 * tf.reduce_sum(weights[:, 1:], axis=1, keepdims=True)
    # One band matrix per image: two products blur columns and rows.
    distances = tf.abs(tf.range(SIDE)[:, None] - tf.range(SIDE)[None, :])
    reached = tf.pad(weights, [[0, 0], [0, 1]])
    bands = tf.gather(reached, tf.minimum(distances, _TAPS + 1), axis=1)
    return bands @ pixels @ bands
