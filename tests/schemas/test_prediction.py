import dataclasses

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
    ],
)
def test_a_row_checks_itself(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(ROW, **changes)


def test_only_the_label_may_be_left_out() -> None:
    assert [described.name for described in COLUMNS if described.nullable] == ["label"]
    assert feature_spec()["label"] == ((), "int64", NO_LABEL)
