import pytest

from digitmill.reports import failure_words
from schemas.failure import FailureCode


@pytest.mark.parametrize("code", list(FailureCode))
def test_every_code_has_words_and_a_remedy(code: FailureCode) -> None:
    one, several = failure_words.sentence(code, 1), failure_words.sentence(code, 1234)
    assert one.startswith("1 image ")
    assert several.startswith("1,234 images ")
    assert one.endswith(".")
    assert failure_words.remedy(code).endswith(".")
