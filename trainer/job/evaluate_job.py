"""Measures a bundle on labelled digits; loads TensorFlow only for the engines and sources that need it."""

import dataclasses
import os
import pathlib
import tempfile
from typing import Any

import numpy as np

from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine import Engine
from digitmill.engines.engine_choice import EngineKind
from digitmill.native_log import quiet_stderr
from schemas.errors import UserError
from schemas.model import bundle as names
from schemas.model.accuracy import Accuracy, percent
from schemas.model.trust import Calibration, Coverage
from trainer.data import rejects
from trainer.data.reading import ReadOptions
from trainer.data.sources.source_specs import open_sources
from trainer.data.splits import Digits, Split
from trainer.job.evaluate_options import ALL, KERAS, EvaluateOptions
from trainer.metrics import calibration
from trainer.metrics.measures import Evaluation


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A bundle's metrics on some images.

    Attributes:
        model: the bundle's folder.
        data: the sources.
        loss: mean cross-entropy, nats.
        calibration: calibration error, Brier score and log loss.
        accepted: coverage and accuracy at its accept threshold.
        confusion: images by true digit (row) and predicted digit (column), 10 x 10.
    """

    model: str
    recipe: str
    engine: str
    data: str
    split: str
    accuracy: Accuracy
    loss: float
    calibration: Calibration
    accepted: Coverage
    confusion: tuple[tuple[int, ...], ...]

    def as_data(self) -> dict[str, Any]:
        """Return the metrics as JSON types, with shares and intervals."""
        fields: dict[str, Any] = dataclasses.asdict(self)
        fields["accuracy"] |= {"value": self.accuracy.value, "interval_95": self.accuracy.interval}
        fields["accepted"] |= {"coverage": self.accepted.coverage, "accuracy": self.accepted.accuracy}
        return fields

    def table(self) -> str:
        """Return the metrics as a text table."""
        accepted, ece, brier = self.accepted, self.calibration.ece, self.calibration.brier
        lines = {
            "model": f"{self.model} ({self.recipe}), by {self.engine}",
            "images": f"{self.accuracy.images:,}, {self.split} of {self.data}",
            "accuracy": str(self.accuracy),
            "loss": f"{self.loss:.4f}",
            "calibration": f"expected error {ece:.4f}, Brier score {brier:.4f}",
            "accepted": f"{percent(accepted.coverage)} from {accepted.threshold:.4f} on, "
            f"{percent(accepted.accuracy)} of them right, {accepted.accepted - accepted.right:,} wrong",
        }
        stated = [f"{name:<12} {value}" for name, value in lines.items()]
        return "\n".join([*stated, "confusion    rows true, columns predicted", *self._confusion_rows()])

    def _confusion_rows(self) -> list[str]:
        width = max(len(f"{count:,}") for row in self.confusion for count in row) + 1
        header = "   " + "".join(f"{digit:>{width}}" for digit in range(len(self.confusion)))
        return [header] + [
            f"  {digit}" + "".join(f"{count:>{width},}" for count in row)
            for digit, row in enumerate(self.confusion)
        ]


def run(options: EvaluateOptions) -> Measurement:
    """Open the bundle, read the images and measure; raise UserError if one of them can't be used."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    by_keras = options.engine == KERAS
    # Also checks digests and golden batch; for Keras, with whichever engine is there.
    bundle = open_bundle(options.model, EngineKind.AUTO if by_keras else options.engine)
    digits = _read(options, bundle)
    split = _select(digits, options.split)
    probabilities = _engine(bundle, by_keras=by_keras).probabilities(split.images)
    evaluation = Evaluation(split.labels, probabilities)
    threshold = bundle.card.accept_threshold
    return Measurement(
        model=options.model,
        recipe=bundle.card.recipe,
        engine=KERAS if by_keras else str(bundle.engine.kind),
        data=digits.name,
        split=options.split,
        accuracy=evaluation.accuracy,
        loss=evaluation.loss,
        calibration=calibration.measure(probabilities, split.labels),
        accepted=calibration.coverage_at(probabilities, split.labels, threshold),
        confusion=tuple(tuple(row) for row in evaluation.confusion.tolist()),
    )


def _read(options: EvaluateOptions, bundle: Bundle) -> Digits:
    reading = ReadOptions(
        rejects=rejects.Rejects(max_rate=options.max_bad_rate),
        cache_dir=options.cache_dir,
        complete=False,  # nothing is trained
        data_dir=options.data_dir,
    )
    source = open_sources(options.data, reading)
    return source.read(validation_fraction=_validation_fraction(options, bundle))


def _validation_fraction(options: EvaluateOptions, bundle: Bundle) -> float:
    """Return the recipe's share of held-out images; 0 if the split doesn't need it: loads Keras."""
    if options.split not in ("train", "validation"):
        return 0.0
    with quiet_stderr():
        from trainer import recipes

        return recipes.load(bundle.card.recipe).validation_fraction


def _select(digits: Digits, name: str) -> Split:
    splits = digits.splits()
    if name == ALL:
        found = list(splits.values())
        if not any(map(len, found)):
            raise UserError(
                "the source has no images",
                value=digits.name,
                hint="name a source with some",
            )
        return Split(
            np.concatenate([split.images for split in found]),
            np.concatenate([split.labels for split in found]),
        )
    if name not in splits or not len(splits[name]):
        raise UserError(
            "the source has no such split",
            value=name,
            hint="give another one, or all",
        )
    return splits[name]


def _engine(bundle: Bundle, *, by_keras: bool) -> Engine:
    if not by_keras:
        return bundle.load()
    if names.KERAS_MODEL not in bundle.card.files:
        raise UserError(
            f"--engine keras needs a bundle with {names.KERAS_MODEL}",
            value=sorted(bundle.card.files),
            hint="use another engine",
        )
    with quiet_stderr():
        from trainer.bundle.keras_engine import KerasEngine

        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, names.KERAS_MODEL)
            path.write_bytes(bundle.read(names.KERAS_MODEL))
            return KerasEngine.load(path)
