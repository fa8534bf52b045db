"""One format of a bundle's model, with its measured quality and speed."""

import dataclasses

from schemas.model.accuracy import Accuracy


@dataclasses.dataclass(frozen=True)
class ExportedFormat:
    """One format of the model, measured when the bundle was made.

    Attributes:
        name: its file or folder in the bundle.
        bytes: its size.
        accuracy: on the validation images, or on the test images where none were held out.
        images_per_second: canonical digits per second on one thread; of Keras's formats, on as many as
            TensorFlow uses.
        difference: greatest absolute difference of its probabilities from the trained model's.
    """

    name: str
    bytes: int
    accuracy: Accuracy
    images_per_second: float
    difference: float
