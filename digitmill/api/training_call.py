"""`digitmill.train`: the training job, like the command."""

import dataclasses
import os
from typing import Any

from digitmill.api.html_tables import html_card
from digitmill.storage.names import place_as_given
from schemas.model.accuracy import Accuracy
from schemas.model.model_card import ModelCard
from trainer.job.train_job import run
from trainer.train_options import TrainOptions


@dataclasses.dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes:
        output: the run folder, with the report and the history of the epochs.
        bundle: the model bundle in it, for `digitmill.load` and `digitmill.score(…, model=…)`.
        card: the bundle's card.
    """

    output: str
    bundle: str
    card: ModelCard = dataclasses.field(repr=False)

    @property
    def accuracy(self) -> Accuracy:
        """Share of the test images with the right digit, `value`, and its 95 % `interval`."""
        return self.card.test_accuracy

    def _repr_html_(self) -> str:
        return html_card(self.card)


def train(*sources: str, recipe: str, output: str | os.PathLike[str], **options: Any) -> Training:
    """Train a recipe on labeled digits and write a model bundle, like `digitmill train`.

    Args:
        sources: labeled images, as values of `--data`: `folder:meters`, `tfds:mnist`, `labels:new.csv@5`;
            none for the sample that comes with digitmill.
        recipe: name of a recipe, as listed by `digitmill recipes`.
        output: the run folder, local or in a bucket.
        options: the flags of `digitmill train`, with underscores: `epochs=10`, `init="shipped"`.

    Raises:
        UserError: when an option or the data cannot be used.
        JobFailedError: when training diverges, is preempted, or loses a worker.
        StoppedError: when training was stopped, or the run folder cannot be written.
    """
    data = sources[0] if len(sources) == 1 else sources or "sample"
    asked = TrainOptions.from_keywords({"recipe": recipe, "data": data, "output": output, **options})
    result = run(asked)
    place = place_as_given(asked.output)
    return Training(place, f"{place.rstrip('/')}/{result.bundle.name}", result.card)
