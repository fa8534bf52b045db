"""One of the formats in which a bundle holds its model, as the card says what it is worth."""

import dataclasses

from schemas.model.accuracy import Accuracy


@dataclasses.dataclass(frozen=True)
class ExportedFormat:
    """A written format, measured before the bundle was.

    Attributes:
        name: its file or folder in the bundle.
        bytes: its size.
        accuracy: of its own answers on the validation images, on the test images where none were
            held out.
        images_per_second: canonical digits that it answers on one thread, of Keras's formats on as
            many as TensorFlow takes.
        difference: greatest absolute difference of its probabilities from the trained model's.
    """

    name: str
    bytes: int
    accuracy: Accuracy
    images_per_second: float
    difference: float
