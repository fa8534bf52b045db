"""The model card: a bundle's provenance, training and metrics."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.digit import CLASSES
from schemas.layout import is_inside
from schemas.model import bundle
from schemas.model.accuracy import Accuracy
from schemas.model.data_source import DataSource
from schemas.model.ink_counts import InkCounts
from schemas.model.recalibration import Recalibration
from schemas.model.trust import Guarantee, Trust
from schemas.versioned import VersionedRecord

FORMAT = 1
"""Version of the card's format; readers refuse others."""

HISTOGRAM_BINS = 20
"""Bins of the card's histograms, of equal width over the value's whole range."""

CONFIDENCE_SAMPLE = 200_000
"""Number of training images to predict for the confidence histogram."""


@dataclasses.dataclass(frozen=True)
class ExportedFormat:
    """One format of the model, measured when the bundle was made.

    Attributes:
        name: its file or folder in the bundle.
        bytes: its size.
        accuracy: on the validation images, or on the test images where none were held out.
        images_per_second: canonical digits per second on one thread. Keras formats use TensorFlow's own
            number of threads.
        difference: greatest absolute difference of its probabilities from the trained model's.
    """

    name: str
    bytes: int
    accuracy: Accuracy
    images_per_second: float
    difference: float


@dataclasses.dataclass(frozen=True)
class ModelCard(VersionedRecord, what="a model card", format=FORMAT):
    """The card of one bundle.

    Attributes:
        data: the `--data` value that it was trained on.
        data_digest: SHA-256 over the training, validation and test images and labels.
        seed: the seed of weights, order and dropout.
        epochs: passes over the training images; of an ensemble, those planned for each member.
        batch: global batch size, images.
        replicas: devices that shared each batch.
        git_commit: commit of the code, empty outside a checkout.
        parameters: number of weights, trainable or not.
        train_seconds: time of the training loop, seconds.
        test_accuracy: on the test split, measured once, at the end.
        test_loss: mean cross-entropy on the test split, nats.
        validation_accuracy: at the end of training; None if no images were held out.
        temperature: divisor of the logits, included in the exports.
        accept_threshold: default minimum confidence of an accepted prediction.
        class_counts: training images per digit.
        confidence_histogram: share of training images per confidence bin over [0, 1].
        pixel_histogram: share of training pixels per gray level bin over [0, 255].
        versions: version of each library that made the bundle.
        files: SHA-256 of each other file of the bundle, by its path within the bundle.
        overrides: options that differ from the recipe, by the recipe's field. Older cards lack this field
            and the following ones.
        hardware: the machine that trained; with several workers, the chief's machine.
        images_per_second: training images per second over all replicas, without validation.
        command: the command line that made the bundle.
        trust: calibration, thresholds and out-of-distribution input.
        exports: the formats of the model.
        litert_model: the LiteRT model that is the default on CPUs: `schemas.model.bundle.LITERT_MODEL` or
            `LITERT_INT8_MODEL`.
        not_digits: number of training pictures that show no digit. Metrics and histograms exclude them.
        data_sources: each source of the data, with its license and credit if known.
        ink: histograms of ink statistics over the training images; None in older cards.
        recalibration: how the bundle was calibrated on its owner's digits; None if training made it. A
            recalibrated bundle takes `accept_threshold` from its guarantee. It has no `trust`, because the
            confidences that `trust` described have changed.
    """

    recipe: str
    data: str
    data_digest: str
    seed: int
    epochs: int
    batch: int
    replicas: int
    git_commit: str
    parameters: int
    train_seconds: float
    test_accuracy: Accuracy
    test_loss: float
    validation_accuracy: Accuracy | None
    temperature: float
    accept_threshold: float
    class_counts: tuple[int, ...]
    confidence_histogram: tuple[float, ...]
    pixel_histogram: tuple[float, ...]
    versions: Mapping[str, str]
    files: Mapping[str, str]
    overrides: Mapping[str, str | int | float | bool] = dataclasses.field(default_factory=dict)
    hardware: Mapping[str, str | int] = dataclasses.field(default_factory=dict)
    images_per_second: float | None = None
    command: str = ""
    trust: Trust | None = None
    exports: tuple[ExportedFormat, ...] = ()
    litert_model: str = bundle.LITERT_MODEL
    not_digits: int = 0
    data_sources: tuple[DataSource, ...] = ()
    ink: InkCounts | None = None
    recalibration: Recalibration | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature is not positive: {self.temperature}")
        if not 0 <= self.accept_threshold <= 1:
            raise ValueError(f"accept threshold is not in [0, 1]: {self.accept_threshold}")
        if len(self.class_counts) != CLASSES:
            raise ValueError(f"class_counts has {len(self.class_counts)} entries, not {CLASSES}")
        for name in ("confidence_histogram", "pixel_histogram"):
            if len(getattr(self, name)) != HISTOGRAM_BINS:
                raise ValueError(f"{name} has {len(getattr(self, name))} bins, not {HISTOGRAM_BINS}")
        _check_inside(self.files)
        if self.litert_model not in bundle.LITERT_MODELS:
            known = " or ".join(bundle.LITERT_MODELS)
            raise ValueError(f"the LiteRT model is not {known}: {self.litert_model!r}")

    @property
    def scoring_temperature(self) -> float:
        """Divisor of the logits that the exports do not include."""
        return self.recalibration.temperature if self.recalibration else 1.0

    @property
    def guarantee(self) -> Guarantee | None:
        """What the accept threshold guarantees; None if it guarantees nothing."""
        if self.recalibration is not None:
            return self.recalibration.guarantee
        return self.trust.guarantee if self.trust else None

    def _fields(self) -> dict[str, Any]:
        """Return the fields with the intervals of accuracies written out."""
        fields = super()._fields()
        for name in ("test_accuracy", "validation_accuracy"):
            accuracy: Accuracy | None = getattr(self, name)
            if accuracy is not None:
                fields[name] |= _spelled(accuracy)
        for row, exported in zip(fields["exports"], self.exports, strict=True):
            row["accuracy"] |= _spelled(exported.accuracy)
        return fields


def _check_inside(files: Iterable[str]) -> None:
    """Raise ValueError for a path outside the bundle: bundles are copied by the paths in the card."""
    for file in files:
        if not is_inside(file):
            raise ValueError(f"a file outside the bundle: {file!r}")


def _spelled(accuracy: Accuracy) -> dict[str, object]:
    return {"value": accuracy.value, "interval_95": accuracy.interval}
