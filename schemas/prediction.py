"""The prediction row: one definition for CSV, TFRecord, TFMD, Table Schema and BigQuery."""

import dataclasses
import enum
import math

from schemas.columns import FeatureSpec, Record, column, columns_of, feature_spec_of
from schemas.digit import CLASSES


class Decision(enum.StrEnum):
    """Whether a prediction is accepted, by the accept threshold."""

    ACCEPT = "accept"
    REVIEW = "review"


class Pages(enum.StrEnum):
    """Which pages of a file, or frames of an animation, are images."""

    ALL = "all"
    FIRST = "first"


@dataclasses.dataclass(frozen=True)
class Prediction(Record):
    """Row of one scored image. Nothing in it depends on when or where the job ran."""

    image: str = column("URI of the image: file:// percent-encoded, gs:// as it is.", unique=True)
    generation: int = column(
        "Version of the image that was scored: object generation, or modification time in ns.", minimum=0
    )
    digit: int = column("The most probable digit.", minimum=0, maximum=CLASSES - 1)
    confidence: float = column("Calibrated probability of `digit`.", minimum=0.0, maximum=1.0)
    second_digit: int = column("The second most probable digit.", minimum=0, maximum=CLASSES - 1)
    second_confidence: float = column("Calibrated probability of `second_digit`.", minimum=0.0, maximum=1.0)
    decision: str = column(
        "accept when the confidence reaches the accept threshold, review below it.", choices=tuple(Decision)
    )
    label: int | None = column("The true digit, where labels were given.", minimum=0, maximum=CLASSES - 1)
    challenger_digit: int | None = column(
        "The digit most probable to the challenger, where one scored the image too.",
        minimum=0,
        maximum=CLASSES - 1,
        default=None,
    )
    challenger_confidence: float | None = column(
        "Calibrated probability of `challenger_digit`.", minimum=0.0, maximum=1.0, default=None
    )


COLUMNS = columns_of(Prediction)

NO_LABEL = -1
"""Stands for a missing `label` or `challenger_digit`."""

NO_NUMBER = math.nan
"""Stands for a missing `challenger_confidence`."""


def feature_spec() -> FeatureSpec:
    """Return shape, dtype and default of each feature, in the order of `tf.io.FixedLenFeature`.

    Parse records with `tf.io.parse_example`, whose features are
    `{name: tf.io.FixedLenFeature(*spec) for name, spec in feature_spec().items()}`.
    """
    return feature_spec_of(COLUMNS, {"integer": NO_LABEL, "number": NO_NUMBER})
