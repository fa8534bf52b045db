import pytest

from pipelines.report import failure_cards
from schemas.failure import FailureCode


@pytest.mark.parametrize("code", list(FailureCode))
def test_every_code_has_words_and_a_remedy(code: FailureCode) -> None:
    one, several = failure_cards.sentence(code, 1), failure_cards.sentence(code, 1234)
    assert one.startswith("1 image ")
    assert several.startswith("1,234 images ")
    assert one.endswith(".")
    assert failure_cards.remedy(code).endswith(".")
