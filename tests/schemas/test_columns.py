import dataclasses

import pytest

from schemas.columns import Column, column, columns_of


@dataclasses.dataclass(frozen=True)
class Record:
    name: str = column("A name.", unique=True)
    count: int = column("A count.", minimum=0)
    share: float | None = column("A share.", minimum=0.0, maximum=1.0)


def test_columns_follow_from_annotations_and_declarations() -> None:
    assert columns_of(Record) == (
        Column("name", "string", nullable=False, description="A name.", unique=True),
        Column("count", "integer", nullable=False, description="A count.", minimum=0),
        Column("share", "number", nullable=True, description="A share.", minimum=0.0, maximum=1.0),
    )


@pytest.mark.parametrize(
    ("described", "value", "complaint"),
    [
        (columns_of(Record)[0], "", "name must not be empty"),
        (columns_of(Record)[0], None, "name must not be missing"),
        (columns_of(Record)[1], -1, r"count must be in \[0, None\]; got -1"),
        (columns_of(Record)[2], 1.5, r"share must be in \[0.0, 1.0\]; got 1.5"),
        (columns_of(Record)[2], float("nan"), "share must be in"),
        (
            Column("kind", "string", nullable=False, description="", choices=("a", "b")),
            "c",
            "one of a, b; got 'c'",
        ),
    ],
)
def test_an_invalid_value_is_refused(described: Column, value: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        described.check(value)


@pytest.mark.parametrize(("position", "value"), [(0, "x"), (1, 0), (2, None), (2, 0.0), (2, 1.0)])
def test_a_valid_value_passes(position: int, value: object) -> None:
    columns_of(Record)[position].check(value)
