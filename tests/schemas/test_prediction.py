import dataclasses
import math

import pytest

from schemas.prediction import COLUMNS, NO_LABEL, Prediction, feature_spec

ROW = Prediction("file:///a.png", 1, 3, 0.9, 8, 0.05, "accept", None)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"digit": 10}, "digit must be in"),
        ({"confidence": 1.01}, "confidence must be in"),
        ({"generation": -1}, "generation must be in"),
        ({"decision": "maybe"}, "decision must be one of accept, review"),
        ({"image": ""}, "image must not be empty"),
        ({"label": -1}, "label must be in"),
        ({"challenger_digit": 10}, "challenger_digit must be in"),
        ({"challenger_confidence": math.nan}, "challenger_confidence must be in"),
    ],
)
def test_a_row_is_validated(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(ROW, **changes)


def test_only_label_and_challenger_may_be_left_out() -> None:
    nullable = [described.name for described in COLUMNS if described.nullable]
    assert nullable == ["label", "challenger_digit", "challenger_confidence"]
    assert (ROW.challenger_digit, ROW.challenger_confidence) == (None, None)
    assert feature_spec()["label"] == feature_spec()["challenger_digit"] == ((), "int64", NO_LABEL)
    shape, dtype, default = feature_spec()["challenger_confidence"]
    assert (shape, dtype) == ((), "float32")
    assert math.isnan(default)
