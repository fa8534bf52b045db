import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.prediction import COLUMNS, NO_DIGIT_SHARE, NO_LABEL, Prediction, feature_spec, spread_share

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
        ({"reason": "UNSURE"}, "reason must be one of NOT_A_DIGIT"),
    ],
)
def test_a_row_is_validated(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(ROW, **changes)


def test_only_path_label_challenger_and_reason_may_be_left_out() -> None:
    nullable = [described.name for described in COLUMNS if described.nullable]
    assert nullable == ["path", "label", "challenger_digit", "challenger_confidence", "reason"]
    assert (ROW.challenger_digit, ROW.challenger_confidence) == (None, None)
    assert feature_spec()["label"] == feature_spec()["challenger_digit"] == ((), "int64", NO_LABEL)
    shape, dtype, default = feature_spec()["challenger_confidence"]
    assert (shape, dtype) == ((), "float32")
    assert math.isnan(default)
    assert feature_spec()["reason"] == ((), "string", "")


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_spread_share_is_that_of_the_uniform_part(share: float, first: float) -> None:
    digits = np.zeros(10)
    digits[[3, 5]] = first, 1 - first
    second, top = np.sort((1 - share) * digits + share / 10)[-2:].tolist()
    assert spread_share(top, second) == pytest.approx(share, abs=1e-9)


def test_the_description_has_the_limit_of_the_reason() -> None:
    (reason,) = [described for described in COLUMNS if described.name == "reason"]
    limit = float(re.search(r"up to ([0-9.]+) or less", reason.description)[1])
    assert spread_share(limit - 0.1, 0.1) == pytest.approx(NO_DIGIT_SHARE)
