import pytest

from schemas.failure import Failure, FailureCode


@pytest.mark.parametrize("code", list(FailureCode))
def test_every_code_has_one_meaning(code: FailureCode) -> None:
    assert code.meaning.endswith(".")
    assert sum(other.meaning == code.meaning for other in FailureCode) == 1


def test_a_failure_refuses_a_code_outside_the_list() -> None:
    with pytest.raises(ValueError, match="code must be one of EMPTY, CORRUPT"):
        Failure("file:///a", 1, "ODD", "something")


def test_a_failure_says_what_was_found() -> None:
    with pytest.raises(ValueError, match="detail must not be empty"):
        Failure("file:///a", 1, FailureCode.EMPTY, "")
