import pytest

from schemas.failure import Failure, FailureCode


def test_no_two_codes_mean_the_same() -> None:
    assert len({code.meaning for code in FailureCode}) == len(FailureCode)


def test_a_failure_with_an_unknown_code_is_refused() -> None:
    with pytest.raises(ValueError, match="code must be one of EMPTY, CORRUPT"):
        Failure("file:///a", 1, "ODD", "something")


def test_a_failure_has_a_detail() -> None:
    with pytest.raises(ValueError, match="detail must not be empty"):
        Failure("file:///a", 1, FailureCode.EMPTY, "")


def test_what_storage_or_machine_cause_may_pass() -> None:
    passing = {code for code in FailureCode if code.may_pass}
    assert passing == {"CHANGED", "MISSING", "DENIED", "UNREADABLE", "ENGINE"}
