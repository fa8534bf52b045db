import pytest

from pipelines.fields.field_names import FieldNames
from schemas.errors import UserError

PATTERN = r"(?P<field>.+)/(?P<position>\d+)\.png"


@pytest.mark.parametrize(
    ("given", "uri", "place"),
    [
        ("/in", "file:///in/form17/amount/03.png", ("form17/amount", 3)),
        ("/in/", "file:///in/form17/amount/03.png", ("form17/amount", 3)),
        ("/in/form*/amount", "file:///in/form17/amount/03.png", ("form17/amount", 3)),
        ("/in/form17/amount/03.png", "file:///in/form17/amount/03.png", None),
        ("gs://bucket/in", "gs://bucket/in/form17/amount/10.png", ("form17/amount", 10)),
        ("gs://bucket", "gs://bucket/form17/amount/10.png", ("form17/amount", 10)),
        ("/in", "file:///in/form17/amount/note.txt", None),
        ("/in", "file:///in/b%C3%A4r%20x/0.png", ("bär x", 0)),
        ("/in", "file:///in/forms.zip!a/1.png", ("forms.zip!a", 1)),
        ("/in/forms.zip", "file:///in/forms.zip!a/1.png", ("forms.zip!a", 1)),
        ("/other", "file:///in/a/1.png", ("in/a", 1)),
        ("/in", "file:///in/=1+1/1.png", ("%3D1+1", 1)),
        ("/in", "file:///in/%FF/1.png", ("\\xff", 1)),
    ],
)
def test_a_name_counts_from_its_input(given: str, uri: str, place: tuple | None) -> None:
    assert FieldNames.of(PATTERN, [given]).place_of(uri) == place


def test_a_name_counts_from_the_innermost_input() -> None:
    names = FieldNames.of(PATTERN, ["/in", "/in/deep"])
    assert names.place_of("file:///in/deep/a/1.png") == ("a", 1)
    assert names.place_of("file:///in/a/1.png") == ("a", 1)


def test_the_pattern_matches_the_whole_name() -> None:
    names = FieldNames.of(r"(?P<field>\w+)/(?P<position>\d+)\.png", ["/in"])
    assert names.place_of("file:///in/form17/amount/1.png") is None


@pytest.mark.parametrize(
    ("name", "position"), [("scan.tif!2", 2), ("scan.tif", 1), ("scan.tif!02", 2), ("scan.tif!x", None)]
)
def test_pages_are_positions_and_a_file_of_one_page_is_the_first(name: str, position: int | None) -> None:
    names = FieldNames.of(r"(?P<field>.+)\.tif(?:!(?P<position>\w+))?", ["/in"])
    assert names.place_of(f"file:///in/{name}") == ("scan", position)


@pytest.mark.parametrize(
    ("pattern", "match"), [("(", "invalid --field"), ("(?P<field>.+)", "lacks the groups")]
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        FieldNames.of(pattern, ["/in"])
