import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fields.field_checks import Reading, field_check, joint_confidence, likeliest_valid
from schemas.errors import UserError

READINGS = st.lists(
    st.builds(
        Reading,
        digit=st.integers(0, 9),
        confidence=st.floats(0.5, 1),
        second_digit=st.integers(0, 9),
        second_confidence=st.floats(0, 0.5),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    ("check", "valid", "invalid"),
    [
        ("luhn", "79927398713", "79927398710"),
        ("verhoeff", "2363", "2364"),
        ("mod97", "79444", "79445"),
        (r"regex:\d{3}", "123", "1234"),
    ],
)
def test_a_check_tells_possible_values_from_others(check: str, valid: str, invalid: str) -> None:
    assert field_check(check)(valid)
    assert not field_check(check)(invalid)


@pytest.mark.parametrize("check", ["ean", "regex:(", "", "Luhn"])
def test_other_checks_are_refused(check: str) -> None:
    with pytest.raises(UserError, match="field-check"):
        field_check(check)


@given(READINGS, st.integers(1, 9))
def test_the_proposal_is_the_likeliest_of_all_with_one_digit_replaced(
    readings: list[Reading], divisor: int
) -> None:
    def check(value: str) -> bool:
        return int(value) % divisor == 0

    possible = {}
    for place in range(len(readings)):
        digits = [str(each.second_digit if at == place else each.digit) for at, each in enumerate(readings)]
        joint = math.prod(
            each.second_confidence if at == place else each.confidence for at, each in enumerate(readings)
        )
        if check("".join(digits)):
            possible["".join(digits)] = max(joint, possible.get("".join(digits), 0))
    found = likeliest_valid(readings, check)
    if not possible:
        assert found is None
    else:
        assert found is not None
        assert found[1] == pytest.approx(max(possible.values()))
        assert possible[found[0]] == pytest.approx(found[1])


def test_the_joint_confidence_is_the_product() -> None:
    readings = [Reading(1, 0.9, 7, 0.1), Reading(2, 0.5, 3, 0.4)]
    assert joint_confidence(readings) == pytest.approx(0.45)
