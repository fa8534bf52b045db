"""What a training job returns."""

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
        output: the run folder: `bundle/`, `history.csv`, `report.html`; of a run in a bucket, the local
            copy, which is gone when the process ends.
        bundle: the model bundle within it.
        history: what each epoch reached.
        validation_accuracy: of the trained model; None where no image was held out.
        test_accuracy: of the trained model, on images looked at once.
        test_loss: mean cross-entropy on them, nats.
        seconds: time of the training loop, validation included.
    """

    output: pathlib.Path
    bundle: pathlib.Path
    history: tuple[Epoch, ...]
    validation_accuracy: Accuracy | None
    test_accuracy: Accuracy
    test_loss: float
    seconds: float

    def as_data(self) -> dict[str, Any]:
        """Returns the epochs and the card in JSON's types, where this process wrote the bundle."""
        return {
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "card": json.loads((self.bundle / CARD).read_text(encoding="utf-8")),
        }
