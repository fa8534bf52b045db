"""How far a model's answers can be trusted, as its card says it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How a model's confidence compares with how often it is right.

    Attributes:
        log_loss: mean negative log-likelihood, nats.
        ece: expected calibration error, in [0, 1].
        brier: mean squared distance of the probabilities from the truth, over all classes, in [0, 2].
    """

    log_loss: float
    ece: float
    brier: float


@dataclasses.dataclass(frozen=True)
class Coverage:
    """What accepting from a threshold on means.

    Attributes:
        threshold: least confidence that is accepted.
        accepted: images that are.
        right: those of them answered right.
        images: all images.
    """

    threshold: float
    accepted: int
    right: int
    images: int

    @property
    def coverage(self) -> float:
        """Share of images that are accepted."""
        return self.accepted / self.images

    @property
    def accuracy(self) -> float:
        """Share of the accepted that are right; 1 where none is accepted."""
        return self.right / self.accepted if self.accepted else 1.0


@dataclasses.dataclass(frozen=True)
class Unfamiliar:
    """What became of pictures of one kind that show no single digit.

    Attributes:
        images: how many there were.
        blank: those that preprocessing found nothing in, so that no model saw them.
        accepted: those that the model answered at least as sure as the accept threshold.
    """

    images: int
    blank: int
    accepted: int

    @property
    def share(self) -> float:
        """Share of all that was wrongly accepted."""
        return self.accepted / self.images


@dataclasses.dataclass(frozen=True)
class Trust:
    """What a model's confidence is worth, measured when the bundle was made.

    Attributes:
        uncalibrated: of the validation images before the temperature; None where none were held out.
        validation: of the same images with it.
        test: of the test images with it.
        target_accuracy: accuracy of accepted images that the accept threshold was chosen for; None
            where the threshold was given.
        accepted: validation images that the accept threshold accepts; None where none were held out.
        accepted_test: test images that it accepts.
        coverage: what other thresholds accept, of the validation images, of the test images where
            none were held out; thresholds rise.
        unfamiliar: what became of pictures without a digit, by kind.
    """

    uncalibrated: Calibration | None
    validation: Calibration | None
    test: Calibration
    target_accuracy: float | None
    accepted: Coverage | None
    accepted_test: Coverage
    coverage: tuple[Coverage, ...]
    unfamiliar: Mapping[str, Unfamiliar]

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Makes it from what `dataclasses.asdict` made of it, JSON's lists for tuples included.

        Raises:
            TypeError: when fields are missing or unknown.
        """
        known = dict(fields)
        for name, record in _RECORDS.items():
            if known.get(name) is not None:
                known[name] = record(**known[name])
        known["coverage"] = tuple(Coverage(**row) for row in known.get("coverage", ()))
        known["unfamiliar"] = {
            kind: Unfamiliar(**row) for kind, row in dict(known.get("unfamiliar", {})).items()
        }
        return cls(**known)


_RECORDS: Mapping[str, type] = {
    "uncalibrated": Calibration,
    "validation": Calibration,
    "test": Calibration,
    "accepted": Coverage,
    "accepted_test": Coverage,
}
