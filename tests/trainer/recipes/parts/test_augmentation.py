import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UserError
from trainer.recipes.parts import augmentation as module
from trainer.recipes.parts.augmentation import Augmentation, augment
from trainer.recipes.parts.draw import Draw

EVERYTHING = Augmentation(
    rotation=15,
    shift=3,
    zoom=0.12,
    shear=0.15,
    elastic=2,
    contrast=0.3,
    blur=0.8,
    noise=20,
    stroke=0.8,
    neighbors=0.9,
    lines=0.9,
    frames=0.9,
    coarse=0.9,
    specks=0.05,
    speckle=0.3,
    veil=40,
)
ONE_EACH = [
    Augmentation(**{field.name: getattr(EVERYTHING, field.name)}) for field in dataclasses.fields(EVERYTHING)
]
RARE = [Augmentation(blur=0.8)] + [
    Augmentation(**{name: getattr(EVERYTHING, name)})
    for name in ("neighbors", "lines", "frames", "coarse", "specks")
]
SEED = (7, 11)


def changed(images: np.ndarray, augmentation: Augmentation, seed=SEED) -> np.ndarray:
    return augment(tf.constant(images), seed=tf.constant(seed), augmentation=augmentation).numpy()


@pytest.fixture(scope="module")
def digits(few_digits) -> np.ndarray:
    return few_digits.test.images


@pytest.fixture(scope="module")
def blob() -> np.ndarray:
    """uint8[500, 28, 28]: a soft spot in the middle, whose place and size can be measured."""
    at = np.arange(28) - 13.5
    spot = 200 * np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 2.5**2))
    return np.repeat(spot[None].round().astype(np.uint8), 500, axis=0)


def centers(images: np.ndarray) -> np.ndarray:
    """float64[N, 2]: x and y of the center of mass."""
    mass = images.astype(float)
    at = np.arange(28)
    total = mass.sum(axis=(1, 2))
    return np.stack([mass.sum(axis=1) @ at, mass.sum(axis=2) @ at], axis=1) / total[:, None]


def test_an_empty_augmentation_changes_nothing(digits):
    assert not Augmentation()
    assert (changed(digits, Augmentation()) == digits).all()


@pytest.mark.parametrize("augmentation", [*ONE_EACH, EVERYTHING], ids=str)
def test_the_seed_determines_the_augmentation(digits, augmentation):
    first = changed(digits, augmentation)
    assert first.shape == digits.shape
    assert first.dtype == np.uint8
    assert (first == changed(digits, augmentation)).all()
    assert (first != changed(digits, augmentation, seed=(7, 12))).any()
    # A blur of less than a third of a pixel shows in no gray level, and lines may miss the ink.
    assert (first != digits).any(axis=(1, 2)).mean() > (0.5 if augmentation in RARE else 0.9)


@pytest.mark.parametrize("augmentation", ONE_EACH, ids=str)
def test_images_of_a_batch_are_augmented_differently(digits, augmentation):
    copies = changed(np.repeat(digits[:1], 50, axis=0), augmentation)
    assert len({copy.tobytes() for copy in copies}) > 25


@pytest.mark.parametrize("augmentation", [*ONE_EACH, EVERYTHING], ids=str)
def test_augmentation_is_the_same_inside_a_pipeline(digits, augmentation):
    images = tf.data.Dataset.from_tensor_slices(digits[:100]).batch(40)
    batches = images.enumerate().map(
        lambda number, batch: augment(batch, seed=tf.stack([number, 3]), augmentation=augmentation)
    )
    got = np.concatenate(list(batches.as_numpy_iterator()))
    wide = [
        augment(
            tf.constant(digits[:100][start : start + 40]),
            seed=tf.constant([start // 40, 3], tf.int64),
            augmentation=augmentation,
        )
        for start in (0, 40, 80)
    ]
    # The graph may fuse a multiplication and an addition: a level more or less.
    assert np.abs(got.astype(int) - np.concatenate(wide).astype(int)).max() <= 1


def test_shifts_are_even_and_within_the_range(blob):
    moved = centers(changed(blob, Augmentation(shift=3))) - 13.5
    assert np.abs(moved).max() <= 3.05
    assert np.abs(moved.mean(axis=0)).max() < 0.4  # five standard deviations of the mean
    assert moved.std(axis=0) == pytest.approx(3 / math.sqrt(3), rel=0.15)


def test_zoom_goes_either_way_within_the_range(blob):
    masses = changed(blob, Augmentation(zoom=0.2)).sum(axis=(1, 2)) / blob[0].sum()
    assert 0.8**2 - 0.01 <= masses.min() < 0.7
    assert 1.35 < masses.max() <= 1.2**2 + 0.01


@pytest.mark.parametrize(
    ("range_", "expected"), [({"rotation": 30}, math.tan(math.radians(30))), ({"shear": 0.4}, 0.4)]
)
def test_a_bar_leans_to_both_sides_within_the_range(range_, expected):
    bar = np.zeros((400, 28, 28), np.uint8)
    bar[:, 4:24, 13:15] = 255
    mass = changed(bar, Augmentation(**range_)).astype(float)
    y, x = np.mgrid[:28, :28] - 13.5
    lean = (mass * x * y).sum(axis=(1, 2)) / (mass * y * y).sum(axis=(1, 2))
    assert lean.min() == pytest.approx(-expected, rel=0.1)
    assert lean.max() == pytest.approx(expected, rel=0.1)


def test_a_blur_keeps_the_ink_and_spreads_it(blob):
    dot = np.zeros((300, 28, 28), np.uint8)
    dot[:, 14, 14] = 255
    blurred = changed(dot, Augmentation(blur=1.0)).astype(float)
    assert blurred.sum(axis=(1, 2)) == pytest.approx(255, abs=13)
    spread = np.sqrt((blurred * (np.arange(28) - 14) ** 2).sum(axis=(1, 2)) / blurred.sum(axis=(1, 2)))
    assert spread.max() < 1.05
    assert np.median(spread) == pytest.approx(0.5, abs=0.15)
    # The smooth spot hardly changes.
    assert np.abs(changed(blob, Augmentation(blur=0.3)).astype(int) - blob).max() <= 5


def test_noise_has_the_deviation_that_was_drawn():
    gray = np.full((300, 28, 28), 128, np.uint8)
    noisy = changed(gray, Augmentation(noise=20)).astype(float)
    deviations = noisy.std(axis=(1, 2))
    assert deviations.max() <= 21
    assert deviations.mean() == pytest.approx(10, rel=0.1)
    assert noisy.mean() == pytest.approx(128, abs=0.2)
    # Pixels are independent of their neighbors.
    centered = noisy - noisy.mean(axis=(1, 2), keepdims=True)
    assert abs((centered[:, :, 1:] * centered[:, :, :-1]).mean() / centered.var()) < 0.02


def test_contrast_leaves_paper_black_and_ink_bright(digits):
    images = changed(digits, Augmentation(contrast=0.3))
    assert (images[digits == 0] == 0).all()
    ratio = images[digits > 50].astype(float) / digits[digits > 50]
    assert 0.68 < ratio.min() < 0.8
    assert images.max() == 255


@pytest.mark.parametrize("augmentation", [*ONE_EACH, EVERYTHING], ids=str)
def test_polarity_stays(digits, augmentation):
    images = changed(digits, augmentation)
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    # Frames and veils lie on the paper.
    assert border.mean() < (96 if augmentation.frames or augmentation.veil else 20)
    assert digits.mean() * 0.7 < images.mean() < digits.mean() * (3 if augmentation.frames else 1.6)


def test_strokes_become_thicker_and_thinner_within_the_range():
    bar = np.zeros((400, 28, 28), np.uint8)
    bar[:, 4:24, 12:16] = 200
    thickness = changed(bar, Augmentation(stroke=0.8))[:, 14].sum(axis=1) / 200
    assert 4 + 1.4 < thickness.max() <= 4 + 1.61
    assert 4 - 0.81 <= thickness.min() < 4 - 0.7


def test_a_share_of_images_has_a_neighbor_at_one_edge(digits):
    images = changed(digits, Augmentation(neighbors=0.5))
    other = (images != digits).any(axis=(1, 2))
    assert 0.3 < other.mean() < 0.6
    left, right = (
        (images != digits)[other][:, :, part].any(axis=(1, 2)) for part in (np.s_[:10], np.s_[18:])
    )
    assert not (left & right).any()
    assert (images >= digits).all()
    # The middle is the digit's own.
    assert (images[:, :, 12:16] == digits[:, :, 12:16]).all()


def test_a_share_of_images_has_a_line_of_ink_or_of_paper(digits):
    images = changed(digits, Augmentation(lines=0.6)).astype(int)
    more, less = ((difference > 40).any(axis=(1, 2)) for difference in (images - digits, digits - images))
    assert not (more & less).any()
    assert 0.2 < more.mean() < 0.4
    assert 0.1 < less.mean() < 0.4


def test_frames_lie_near_the_edges():
    blank = np.zeros((400, 28, 28), np.uint8)
    framed = changed(blank, Augmentation(frames=0.5))
    assert 0.3 < framed.any(axis=(1, 2)).mean() < 0.6
    assert not framed[:, 6:22, 6:22].any()


def test_a_share_of_images_is_coarser_and_as_bright(digits):
    images = changed(digits, Augmentation(coarse=0.5)).astype(float)
    coarser = (images != digits).any(axis=(1, 2))
    assert 0.4 < coarser.mean() < 0.6
    assert (images.max(axis=(1, 2)) == digits.max(axis=(1, 2))).all()
    assert centers(images) == pytest.approx(centers(digits), abs=0.3)
    steps = [
        np.abs(np.diff(which[coarser].astype(float), axis=2)).max(axis=(1, 2)).mean()
        for which in (images, digits)
    ]
    assert steps[0] < 0.8 * steps[1]


def test_specks_cover_up_to_the_share_with_ink_and_paper():
    gray = np.full((400, 28, 28), 128, np.uint8)
    images = changed(gray, Augmentation(specks=0.1))
    assert set(np.unique(images).tolist()) == {0, 128, 255}
    cells = images.reshape(400, 14, 2, 14, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 4)
    assert (cells == cells[:, :1]).all()
    assert (images == 255).mean() == pytest.approx(0.025, rel=0.2)
    assert (images == 0).mean() == pytest.approx(0.025, rel=0.2)


def test_speckle_is_on_ink_alone(digits):
    images = changed(digits, Augmentation(speckle=0.3))
    assert (images[digits == 0] == 0).all()
    middle = (digits > 100) & (digits < 200)
    ratio = images[middle] / digits[middle]
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert 0.1 < ratio.std() < 0.25


def test_a_veil_is_smooth_and_hides_no_ink(digits):
    blank = np.zeros((200, 28, 28), np.uint8)
    veil = changed(blank, Augmentation(veil=40)).astype(int)
    assert 25 < veil.max() <= 40
    assert max(np.abs(np.diff(veil, axis=axis)).max() for axis in (1, 2)) <= 8
    assert (changed(digits, Augmentation(veil=40)) >= digits).all()


@given(st.lists(st.floats(-1.5, 1.5), min_size=6, max_size=6))
@settings(max_examples=25, deadline=None)
def test_affine_and_elastic_sampling_agree(few_digits, numbers):
    images = few_digits.test.images[:4]
    numbers = np.array(numbers) * [0.5, 0.5, 9, 0.5, 0.5, 9] + [1, 0, 0, 0, 1, 0]
    affine = np.repeat(numbers.astype(np.float32)[None], len(images), axis=0)
    grid_y, grid_x = np.mgrid[:28, :28].astype(np.float32)
    x = affine[0, 0] * grid_x + affine[0, 1] * grid_y + affine[0, 2]
    y = affine[0, 3] * grid_x + affine[0, 4] * grid_y + affine[0, 5]
    points = (tf.constant(np.repeat(part[None], len(images), axis=0)) for part in (x, y))
    ours = module._deform(tf.constant(images), *points).numpy()
    theirs = module._transform(tf.cast(images, tf.float32), tf.constant(affine)).numpy()
    assert ours == pytest.approx(theirs, abs=0.05)


def test_an_elastic_deformation_stays_within_its_range():
    draw = Draw(tf.constant(SEED), tf.constant(200))
    x, y = module._elastic_sources(draw, Augmentation(elastic=2))
    grid_y, grid_x = np.mgrid[:28, :28]
    moved = np.stack([x.numpy() - grid_x, y.numpy() - grid_y])
    assert 0.7 < np.abs(moved).max() <= 2
    # Smooth: neighbors move together.
    assert np.abs(np.diff(moved, axis=-1)).max() < 0.45
    assert np.abs(np.diff(moved, axis=-2)).max() < 0.45


@pytest.mark.parametrize(
    "ranges", [{"zoom": 1.0}, {"rotation": -1}, {"blur": float("nan")}, {"blur": 2}, {"noise": float("inf")}]
)
def test_ranges_out_of_bounds_are_refused(ranges):
    with pytest.raises(UserError, match=f"augmentation {next(iter(ranges))} is outside"):
        Augmentation(**ranges)
