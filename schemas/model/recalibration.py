"""Calibration of a finished bundle on its owner's digits, without training."""

import dataclasses

from schemas.model.ink_counts import InkCounts
from schemas.model.trust import Calibration, Coverage, Guarantee


@dataclasses.dataclass(frozen=True)
class Recalibration:
    """How `digitmill calibrate` made a bundle from another one. The images are the owner's labeled ones.

    Attributes:
        bundle: digest of the bundle that it was made from.
        data: the sources of the images.
        images: those that show a digit.
        not_digits: those labeled as no digit.
        temperature: divisor of the logits, after that of the exports; applied where digitmill loads a model,
            not included in its files, nor in the golden batch.
        before: calibration on the tested images, by the other bundle.
        after: the same with the temperature.
        guarantee: what the accept threshold promises of images like these.
        coverage: effect of other thresholds on the tested images, ascending. An image that is no digit
            counts as a wrong answer.
        class_counts: images per digit, or of what is none per digit predicted; with the following ones the
            reference of drift.
        confidence_histogram: share of all images per confidence bin over [0, 1].
        pixel_histogram: share of all pixels per gray level bin over [0, 255].
        ink: all images by what their ink looks like.
        command: the command line that made it.
    """

    bundle: str
    data: str
    images: int
    not_digits: int
    temperature: float
    before: Calibration
    after: Calibration
    guarantee: Guarantee
    coverage: tuple[Coverage, ...]
    class_counts: tuple[int, ...]
    confidence_histogram: tuple[float, ...]
    pixel_histogram: tuple[float, ...]
    ink: InkCounts
    command: str = ""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature is not positive: {self.temperature}")
