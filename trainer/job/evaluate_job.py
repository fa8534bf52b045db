"""Measures a bundle on labeled digits; loads TensorFlow only for the engines and sources that need it."""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from digitmill.confidence import calibration
from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine import Engine, TemperedEngine
from digitmill.engines.engine_choice import EngineKind
from digitmill.extras import require
from digitmill.native_log import quiet_stderr
from digitmill.reports import card_text
from schemas.errors import UserError
from schemas.model import bundle as names
from schemas.model.accuracy import Accuracy, percent
from schemas.model.trust import Calibration, Coverage, NotDigits, SourceTrust
from trainer.data import rejects
from trainer.data.reading import ReadOptions
from trainer.data.sources.source_specs import open_sources
from trainer.data.splits import Digits, Split
from trainer.job.evaluate_options import ALL, KERAS, EvaluateOptions
from trainer.metrics import assessment
from trainer.metrics.measures import Evaluation

_OF_THE_RECIPE: Final = ("train", "validation")
"""Splits that depend on the share that a recipe holds out."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A bundle's metrics on some images; all but `not_digits` are None if no image is a digit.

    Attributes:
        model: the bundle's folder.
        data: the sources.
        loss: mean cross-entropy, nats.
        calibration: calibration error, Brier score and log loss.
        accepted: coverage and accuracy at its accept threshold.
        confusion: images by true digit (row) and predicted digit (column), 10 x 10.
        not_digits: number of pictures that show no digit, and how many of them its threshold accepts.
        sources: accuracy and coverage on each source of a mixture; empty without a mixture.
    """

    model: str
    recipe: str
    engine: str
    data: str
    split: str
    accuracy: Accuracy | None
    loss: float | None
    calibration: Calibration | None
    accepted: Coverage | None
    confusion: tuple[tuple[int, ...], ...]
    not_digits: NotDigits
    sources: Mapping[str, SourceTrust]

    def as_data(self) -> dict[str, Any]:
        """Return the metrics as JSON types, with shares and intervals."""
        fields: dict[str, Any] = dataclasses.asdict(self)
        if self.accuracy is not None:
            fields["accuracy"] |= {"value": self.accuracy.value, "interval_95": self.accuracy.interval}
        if self.accepted is not None:
            fields["accepted"] |= {"coverage": self.accepted.coverage, "accuracy": self.accepted.accuracy}
        return fields

    def table(self) -> str:
        """Return the metrics as a text table."""
        images = self.not_digits.images + (self.accuracy.images if self.accuracy else 0)
        lines = {
            "model": f"{self.model} ({self.recipe}), by {self.engine}",
            "images": f"{images:,}, {self.split} of {self.data}",
            **self._metrics(),
        }
        if rejected := self.not_digits.images:
            share = percent(self.not_digits.share)
            lines["not a digit"] = f"{rejected:,}, {self.not_digits.accepted:,} of them accepted, {share}"
        stated = [f"{name:<12} {value}" for name, value in lines.items()]
        if self.sources:
            stated += ["sources", card_text.table(card_text.source_rows(self.sources))]
        if self.accuracy is None:
            return "\n".join(stated)
        return "\n".join([*stated, "confusion    rows true, columns predicted", *self._confusion_rows()])

    def _metrics(self) -> dict[str, str]:
        """Return the metrics on digits as text, by title; none without a digit."""
        if self.accepted is None or self.calibration is None:
            return {}
        accepted, ece, brier = self.accepted, self.calibration.ece, self.calibration.brier
        return {
            "accuracy": str(self.accuracy),
            "loss": f"{self.loss:.4f}",
            "calibration": f"expected error {ece:.4f}, Brier score {brier:.4f}",
            "accepted": f"{percent(accepted.coverage)} from {accepted.threshold:.4f} on, "
            f"{percent(accepted.accuracy)} of them right, {accepted.accepted - accepted.right:,} wrong",
        }

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
    if by_keras:
        require("tensorflow", wanted="--engine keras", otherwise="use --engine litert")
    check_split(options.split)
    # Also checks digests and golden batch; for Keras, with whichever engine is there.
    bundle = open_bundle(options.model, EngineKind.AUTO if by_keras else options.engine)
    digits = _read(options, bundle)
    splits = select_splits(digits, options.split)
    engine = _engine(bundle, by_keras=by_keras)
    labels = np.concatenate([split.labels for split in splits])
    # Split by split: mapped images may not fit the memory together.
    probabilities = np.concatenate([engine.probabilities(split.images) for split in splits])
    found = Evaluation.of(labels, probabilities)
    known = len(found.labels) > 0
    threshold = bundle.card.accept_threshold
    return Measurement(
        model=options.model,
        recipe=bundle.card.recipe,
        engine=KERAS if by_keras else str(bundle.engine.kind),
        data=digits.name,
        split=options.split,
        accuracy=found.accuracy if known else None,
        loss=found.loss if known else None,
        calibration=calibration.measure(found.probabilities, found.labels) if known else None,
        accepted=calibration.coverage_at(found.probabilities, found.labels, threshold) if known else None,
        confusion=tuple(tuple(row) for row in found.confusion.tolist()),
        not_digits=found.not_digits_at(threshold),
        sources=_by_source(found, splits, digits.sources, threshold=threshold),
    )


def _by_source(
    found: Evaluation, splits: Sequence[Split], names: Sequence[str], *, threshold: float
) -> dict[str, SourceTrust]:
    columns = [split.sources for split in splits if split.sources is not None]
    return assessment.by_source(found, np.concatenate(columns), names, threshold=threshold) if columns else {}


def _read(options: EvaluateOptions, bundle: Bundle) -> Digits:
    reading = ReadOptions(
        rejects=rejects.Rejects(max_rate=options.max_bad_rate),
        cache_dir=options.cache_dir,
        complete=False,  # nothing is trained
        data_dir=options.data_dir,
    )
    source = open_sources(options.data, reading)
    return source.read(validation_fraction=validation_fraction(options.split, bundle))


def check_split(name: str) -> None:
    """Raise UserError for a split that needs TensorFlow, if that is not installed."""
    if name in _OF_THE_RECIPE:
        require("tensorflow", wanted=f"--split {name}", otherwise="use --split test")


def validation_fraction(split: str, bundle: Bundle) -> float:
    """Return the recipe's share of held-out images; 0 if the split doesn't need it: loads Keras."""
    if split not in _OF_THE_RECIPE:
        return 0.0
    with quiet_stderr():
        from trainer import recipes

        return recipes.load(bundle.card.recipe).validation_fraction


def select_splits(digits: Digits, name: str) -> list[Split]:
    """Return the split of a name, or all splits; raise UserError if there is no such split."""
    splits = digits.splits()
    if name == ALL:
        found = list(splits.values())
        if not any(map(len, found)):
            raise UserError(
                "the source has no images",
                value=digits.name,
                hint="name a source that has images",
            )
        return found
    if name not in splits or not len(splits[name]):
        raise UserError(
            "the source has no such split",
            value=name,
            hint="give another one, or all",
        )
    return [splits[name]]


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
            engine, temperature = KerasEngine.load(path), bundle.card.scoring_temperature
            return engine if temperature == 1 else TemperedEngine(engine, temperature)
