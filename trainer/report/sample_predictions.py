"""Draws test images with their predictions, for a slide."""

import base64
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from markupsafe import Markup

from digitmill.reports.charts.chart import Chart
from digitmill.reports.charts.drawing import Area, Drawing, Picture, Words
from digitmill.reports.charts.palette import FAIL, INK, LINE, SOFT
from digitmill.reports.numbers import share
from trainer.report.record import SampleImage

_NAME: Final = "predictions"
_TITLE: Final = "Predictions on random test images"
_COLUMNS: Final = 3
_CELL: Final = 137
"""Width and height of an image with its texts, in points."""

_SIDE: Final = 100
"""Side of an image, in points."""

_ABOVE: Final = 22
"""Height above an image for its text, in points."""


def draw_predictions(samples: Sequence[SampleImage]) -> Chart:
    """Draw images in rows, each with its predicted and true digit; mistakes are in another color."""
    rows = -(-len(samples) // _COLUMNS)
    drawing = Drawing(_COLUMNS * _CELL, rows * _CELL + 8)
    for number, sample in enumerate(samples):
        row, column = divmod(number, _COLUMNS)
        _draw_image(drawing, sample, column * _CELL + (_CELL - _SIDE) / 2, row * _CELL + _ABOVE)
    right = sum(sample.digit == sample.label for sample in samples)
    reading = f"{right} of {len(samples)} random test images are predicted right."
    return Chart(
        name=_NAME,
        title=_TITLE,
        reading=reading,
        alternative=reading,
        header=("image", "true digit", "predicted digit", "confidence"),
        rows=tuple((each.image, each.label, each.digit, f"{each.confidence:.6f}") for each in samples),
        svg=Markup(),
        drawing=drawing,
    )


def _draw_image(drawing: Drawing, sample: SampleImage, left: float, top: float) -> None:
    wrong = sample.digit != sample.label
    middle, words = left + _SIDE / 2, f"predicted {sample.digit}, true {sample.label}"
    drawing.add(Words((middle, top - 9), words, FAIL if wrong else INK, 11, "middle", bold=wrong))
    border = 2 if wrong else 1
    drawing.add(Area.box(left, top, left + _SIDE, top + _SIDE, FAIL if wrong else LINE))
    drawing.add(Picture(255 - _pixels(sample), (left + border, top + border), _SIDE - 2 * border))
    sure = f"{share(sample.confidence)} sure"
    drawing.add(Words((middle, top + _SIDE + 9), sure, SOFT, 9, "middle"))


def _pixels(sample: SampleImage) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(sample.png), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
