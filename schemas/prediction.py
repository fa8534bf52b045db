"""The rows of predictions and fields: one definition for CSV, TFRecord, TFMD, Table Schema and BigQuery."""

import dataclasses
import enum
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from schemas.columns import Column, FeatureSpec, Record, column, columns_of, feature_spec_of
from schemas.digit import CLASSES

if TYPE_CHECKING:
    import numpy as np  # loading it takes longer than a page of help


class Decision(enum.StrEnum):
    """Whether a prediction is accepted, by the accept threshold."""

    ACCEPT = "accept"
    REVIEW = "review"


class Reason(enum.StrEnum):
    """Why a prediction needs review, if there is more to say than its confidence."""

    NOT_A_DIGIT = "NOT_A_DIGIT"


NO_DIGIT_SHARE: Final = 0.5
"""From this `spread_share` on, the reason for review is `NOT_A_DIGIT`."""

T = TypeVar("T", float, "np.ndarray")


def spread_share(confidence: T, second_confidence: T) -> T:
    """Return the share of a prediction that is spread evenly over all digits, about 0 to 1.

    Models learn to predict the uniform distribution u for pictures that show no digit. If a prediction is
    (1 - s) q + s u, and q has at most two digits, its two greatest probabilities add up to 1 - 0.8 s. Hence
    s = (1 - confidence - second_confidence) / 0.8: 0 for a digit that could be one of two, 1 for the uniform
    prediction. The alternative 10 min(p) is a lower bound of s, but becomes 0 once a single digit is ruled
    out.

    Args:
        confidence: probability of the most probable digit; a number, or float32[N].
        second_confidence: probability of the second most probable digit.
    """
    return (1 - confidence - second_confidence) / (1 - 2 / CLASSES)


class Pages(enum.StrEnum):
    """Which pages of a file, or frames of an animation, to score."""

    ALL = "all"
    FIRST = "first"


@dataclasses.dataclass(frozen=True)
class Prediction(Record):
    """Row of one scored image. No value depends on when or where the job ran."""

    image: str = column("URI of the image: file:// percent-encoded, gs:// as it is.", unique=True)
    path: str | None = column(
        "Path of the image relative to the input, as text; a page or member of a file as FILE!PAGE.",
        default=None,
        kw_only=True,
    )
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
    reason: str | None = column(
        "NOT_A_DIGIT on rows for review whose answer is spread over all digits: the confidences of both "
        f"digits add up to {1 - NO_DIGIT_SHARE * (1 - 2 / CLASSES):g} or less.",
        choices=tuple(Reason),
        default=None,
    )


COLUMNS = columns_of(Prediction)


PROBABILITY_COLUMNS: Final = tuple(
    Column(
        f"probability_{digit}",
        "number",
        nullable=True,
        description=f"Calibrated probability of {digit}.",
        minimum=0.0,
        maximum=1.0,
    )
    for digit in range(CLASSES)
)
"""Further columns of predictions in runs with `--probabilities`."""


def carried_column(name: str) -> Column:
    """Return the predictions column that carries a column of the input list."""
    return Column(name, "string", nullable=True, description="As the input list has it.")


NO_LABEL = -1
"""Stands for a missing `label` or `challenger_digit`."""

NO_NUMBER = math.nan
"""Stands for a missing `challenger_confidence`."""


def feature_spec() -> FeatureSpec:
    """Return shape, dtype and default of each feature, in the order of `tf.io.FixedLenFeature`.

    Parse records with `tf.io.parse_example`, whose features are
    `{name: tf.io.FixedLenFeature(*spec) for name, spec in feature_spec().items()}`.
    """
    return feature_spec_of(COLUMNS, {"integer": NO_LABEL, "number": NO_NUMBER, "string": ""})


UNKNOWN: Final = "?"
"""Placeholder for an unknown digit in a field's value."""


class FieldReason(enum.StrEnum):
    """Why the value of a field cannot be used as it is, regardless of its digits' confidences."""

    INCOMPLETE = "INCOMPLETE"
    INVALID = "INVALID"


@dataclasses.dataclass(frozen=True)
class Field(Record):
    """Row of one field, whose digits are images. No value depends on when or where the job ran."""

    field: str = column("Name of the field, as --field or the input list has it.", unique=True)
    value: str = column(
        f"Its digits by their positions; {UNKNOWN} for one that is missing, failed or there twice."
    )
    confidence: float | None = column(
        "Joint confidence: the product of the digits' confidences; empty where a digit is not known.",
        minimum=0.0,
        maximum=1.0,
    )
    decision: str = column(
        "accept when every digit is accepted, the joint confidence reaches the accept threshold, and the "
        "value passes --field-check; review otherwise.",
        choices=tuple(Decision),
    )
    reason: str | None = column(
        "INCOMPLETE where a digit is not known, INVALID where the value fails --field-check.",
        choices=tuple(FieldReason),
    )
    note: str | None = column("What is missing, failed, there twice or invalid.")
    proposal: str | None = column(
        "The likeliest value that passes the check, with one digit replaced by its second one."
    )
    proposal_confidence: float | None = column("Joint confidence of `proposal`.", minimum=0.0, maximum=1.0)
    label: str | None = column("The true value, where the labels of all digits are known.")
    members: int = column("Number of its images.", minimum=1)
    images: str = column("URIs of its images in the order of their positions, as a JSON list.")

    def row(self) -> tuple[object, ...]:
        """Return the values in the order of `FIELD_COLUMNS`, as a CSV has them."""
        return tuple(
            "" if value is None else f"{value:.6f}" if isinstance(value, float) else value
            for value in (getattr(self, each.name) for each in FIELD_COLUMNS)
        )

    @classmethod
    def from_row(cls, cells: Sequence[str]) -> Self:
        """Parse a row of the fields CSV.

        Raises:
            ValueError: when it is not a valid row.
        """
        columns = zip(FIELD_COLUMNS, cells, strict=True)
        values: list[Any] = [
            None if column.nullable and not text else _KINDS[column.kind](text) for column, text in columns
        ]
        return cls(*values)


FIELD_COLUMNS = columns_of(Field)

_KINDS: Final[Mapping[str, Callable[[str], object]]] = {"string": str, "integer": int, "number": float}

FIELDS_OF_A_FILE: Final = 65_536
"""Maximum rows of one field table, which is written whole: about a kilobyte per row."""
