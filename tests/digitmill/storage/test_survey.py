import tracemalloc

import pytest

from digitmill.storage.patterns import EVERYTHING, PathPattern
from digitmill.storage.survey import Survey, Visit


@pytest.mark.parametrize("pattern", [EVERYTHING, PathPattern.of("**/*.png")])
def test_a_folder_that_was_entered_takes_little_memory(pattern: PathPattern) -> None:
    survey, folders = Survey(), 100_000
    tracemalloc.start()
    for number in range(folders):
        path = b"/data/scans/document-%08d" % number
        assert survey.enter((65_024, 2**32 + number), path, Visit(pattern, pattern.start)) == []
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / folders < 160


def test_what_another_name_of_a_folder_has_listed_is_left_out() -> None:
    survey, digits = Survey(), PathPattern.of("[0-9]*")
    whole, some = Visit(EVERYTHING, EVERYTHING.start), Visit(digits, digits.start)
    assert survey.enter((1, 1), b"a", some) == []
    assert survey.enter((1, 1), b"a", whole) == []
    assert survey.enter((2, 1), b"b", some) == []
    assert survey.enter((2, 1), b"c", whole) == [some]
    assert survey.passed_over == 1
    assert survey.enter((1, 1), b"b", some) is None
    assert survey.enter((2, 1), b"d", some) is None
    assert survey.passed_over == 3
