"""Calibration of a finished bundle on its owner's digits, without training."""

import dataclasses

from schemas.model.ink_counts import InkCounts
from schemas.model.trust import Calibration, Coverage, Guarantee


@dataclasses.dataclass(frozen=True)
class Recalibration:
    """How `digitmill calibrate` made a bundle from another one, using the owner's labeled images.

    Attributes:
        bundle: digest of the original bundle.
        data: the sources of the images.
        images: number of images that show a digit.
        not_digits: number of images labeled as no digit.
        temperature: divisor of the logits, on top of the one in the exports. digitmill applies it when it
            loads the model; neither the model files nor the golden batch include it.
        before: calibration of the original bundle on the tested images.
        after: calibration with the new temperature on the same images.
        guarantee: what the accept threshold guarantees for images like these.
        coverage: effect of other thresholds on the tested images, ascending. An image that is no digit
            counts as a wrong answer.
        class_counts: images per labeled digit; images of no digit count under the predicted one. Drift is
            measured against this field and the next three.
        confidence_histogram: share of all images per confidence bin over [0, 1].
        pixel_histogram: share of all pixels per gray level bin over [0, 255].
        ink: histograms of ink statistics over all images.
        command: the command line that made the bundle.
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
