"""The result of a training job."""

import dataclasses
import json
import pathlib
from typing import Any

from schemas.model.model_card import ModelCard
from trainer.run.history import Epoch


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        output: the run folder: `bundle/`, `history.csv`, `report.html`. For a run in a bucket, its local
            copy, which is deleted when the process ends.
        bundle: the model bundle in it.
        history: the finished epochs.
        card: the bundle's card.
        is_complete: whether the card is; only in the process that wrote the bundle, or found it finished.
    """

    output: pathlib.Path
    bundle: pathlib.Path
    history: tuple[Epoch, ...]
    card: ModelCard
    is_complete: bool = True

    def as_data(self) -> dict[str, Any]:
        """Return epochs and card as JSON types; only where the result is complete."""
        return {
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "card": json.loads(self.card.to_json()),
        }
