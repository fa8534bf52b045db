"""The result of a training job."""

import dataclasses
import json
import pathlib
from typing import Any

from schemas.model.bundle import CARD
from schemas.model.model_card import Accuracy
from trainer.run.history import Epoch


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        output: the run folder: `bundle/`, `history.csv`, `report.html`. For a run in a bucket, its local
            copy, which is deleted when the process ends.
        bundle: the model bundle in it.
        history: the finished epochs.
        validation_accuracy: None if no images were held out.
        test_accuracy: on the test split, evaluated once.
        test_loss: mean cross-entropy on the test split, nats.
        seconds: time spent on training and validation.
    """

    output: pathlib.Path
    bundle: pathlib.Path
    history: tuple[Epoch, ...]
    validation_accuracy: Accuracy | None
    test_accuracy: Accuracy
    test_loss: float
    seconds: float

    def as_data(self) -> dict[str, Any]:
        """Returns epochs and card as JSON types; only in the process that wrote the bundle."""
        return {
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "card": json.loads((self.bundle / CARD).read_text(encoding="utf-8")),
        }
