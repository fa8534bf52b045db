"""Shows what the network saw: training images and augmented copies."""

import base64
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from markupsafe import Markup

from digitmill.reports.charts.chart import Chart
from digitmill.reports.charts.drawing import Area, Drawing, Picture, Words
from digitmill.reports.charts.palette import LINE, SOFT
from digitmill.reports.gallery import inline_png
from schemas.digit import CLASSES
from trainer.data.splits import Split
from trainer.report.record import AugmentedImage

if TYPE_CHECKING:
    from trainer.recipes.parts.augmentation import Augmentation

COPIES: Final = 5
"""Number of augmented copies of each image."""

_SIDE: Final = 56
"""Side of an image, in points."""

_CELL: Final = 62
"""Side of an image with its margins, in points."""

_TITLE: Final = "What the network saw in training"


def augmented_images(
    train: Split, augmentation: "Augmentation | None", *, seed: int
) -> Iterator[AugmentedImage]:
    """Yield the first training image of each digit with augmented copies; nothing without augmentation."""
    if not augmentation:
        return
    # Import here, because reports are also drawn without TensorFlow.
    import tensorflow as tf

    from trainer.recipes.parts.augmentation import augment

    places = [np.flatnonzero(train.labels == digit)[:1] for digit in range(CLASSES)]
    images = train.images[np.concatenate(places)]
    labels = train.labels[np.concatenate(places)].tolist()
    copies = [
        augment(images, seed=tf.constant([seed, number], tf.int64), augmentation=augmentation).numpy()
        for number in range(COPIES)
    ]
    for place, (label, image) in enumerate(zip(labels, images, strict=True)):
        yield AugmentedImage(label, inline_png(image), tuple(inline_png(copy[place]) for copy in copies))


def draw_augmented(images: Sequence[AugmentedImage]) -> Chart:
    """Draw a column for each image, with its copies below it."""
    rows = 1 + len(images[0].copies)
    drawing = Drawing(70 + _CELL * len(images), _CELL * rows + 20)
    drawing.add(Words((6, _CELL / 2 + 6), "as it is", SOFT, 11))
    drawing.add(Words((6, _CELL * 1.5 + 12), "changed", SOFT, 11))
    for column, image in enumerate(images):
        for row, png in enumerate((image.png, *image.copies)):
            left, top = 70 + column * _CELL, 6 + row * _CELL + (6 if row else 0)
            drawing.add(Area.box(left - 1, top - 1, left + _SIDE + 1, top + _SIDE + 1, LINE))
            drawing.add(Picture(255 - _pixels(png), (left, top), _SIDE))
    reading = (
        "Each training image is changed in a new way each time. If a copy is no longer its digit, the "
        "augmentation is too strong."
    )
    return Chart(
        name="augmentation",
        title=_TITLE,
        reading=reading,
        alternative=f"{len(images)} training images, each with {rows - 1} changed copies.",
        header=("digit", "copies"),
        rows=tuple((image.label, len(image.copies)) for image in images),
        svg=Markup(),
        drawing=drawing,
    )


def _pixels(png: str) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_GRAYSCALE))
