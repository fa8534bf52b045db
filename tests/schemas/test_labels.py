import pytest

from schemas.digit import NOT_A_DIGIT
from schemas.labels import COLUMNS, UNREADABLE, class_of, digit_of, header_hint


@pytest.mark.parametrize(
    ("label", "digit"), [("0", 0), (" 9 ", 9), ("", None), ("  ", None), (UNREADABLE, None)]
)
def test_a_label_is_a_digit_or_none(label: str, digit: int | None) -> None:
    assert digit_of(label) == digit
    assert class_of(label) == (NOT_A_DIGIT if label == UNREADABLE else digit)


@pytest.mark.parametrize("label", ["10", "-1", "x", "1.0", "٣", "Unreadable", "0 1"])
def test_anything_else_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="not a digit from 0 to 9, nor unreadable"):
        digit_of(label)


def test_required_columns_come_first() -> None:
    assert COLUMNS[:2] == ("path", "label")


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (["path;label"], "separate the columns of l.csv by commas, not by semicolons"),
        (["path\tlabel"], "separate the columns of l.csv by commas, not by tabs"),
        (["image", "digit"], "add the header path,label to l.csv"),
        ([], "add the header path,label to l.csv"),
    ],
)
def test_a_file_without_the_columns_has_a_remedy(header: list[str], hint: str) -> None:
    assert header_hint(header, "l.csv") == hint
