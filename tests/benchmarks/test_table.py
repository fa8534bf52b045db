from benchmarks.tables import Table

TABLE = Table(
    "Speed", ("", "seconds", "times"), [("digitmill", "1.00", "1.00 ×"), ("other", "10.00", "10.00 ×")]
)


def test_text_has_numbers_to_the_right() -> None:
    assert TABLE.to_text().splitlines() == [
        "Speed",
        "           seconds    times",
        "digitmill     1.00   1.00 ×",
        "other        10.00  10.00 ×",
    ]


def test_markdown_is_a_table_with_numbers_to_the_right() -> None:
    assert TABLE.to_markdown().splitlines() == [
        "**Speed**",
        "",
        "|  | seconds | times |",
        "| --- | --: | --: |",
        "| digitmill | 1.00 | 1.00 × |",
        "| other | 10.00 | 10.00 × |",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert Table("Empty", ("a", "b"), []).to_text() == "Empty\na  b"
