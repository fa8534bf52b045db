import pytest

from digitmill.storage import list_place
from schemas.errors import UserError
from tests.gcs_emulator import Bucket


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    for name in ("d/1.png", "d/e/2.png", "d-old/3.png", "d", "x[1].png", "x1.png", "d/e/3.jpg", "f/"):
        bucket.put(name, b"" if name.endswith("/") else b"x")
    return bucket


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ["d", "d-old/3.png", "d/1.png", "d/e/2.png", "d/e/3.jpg", "x1.png", "x[1].png"]),
        ("d/", ["d/1.png", "d/e/2.png", "d/e/3.jpg"]),
        ("d", ["d", "d/1.png", "d/e/2.png", "d/e/3.jpg"]),
        ("d/e", ["d/e/2.png", "d/e/3.jpg"]),
        ("d/*.png", ["d/1.png"]),
        ("d/**/*.png", ["d/1.png", "d/e/2.png"]),
        ("**/[23].*", ["d-old/3.png", "d/e/2.png", "d/e/3.jpg"]),
        ("x[1].png", ["x[1].png"]),
        ("x?.png", ["x1.png"]),
    ],
)
def test_folders_patterns_and_objects(filled: Bucket, name: str, expected: list[str]) -> None:
    found = [image.uri.removeprefix(f"{filled.uri}/") for image in list_place(f"{filled.uri}/{name}")]
    assert sorted(found) == expected
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ["f", "f/", "nothing", "nothing/", "*.gif", "d/e/2"])
def test_what_matches_nothing_is_refused(filled: Bucket, name: str) -> None:
    with pytest.raises(UserError, match="an input holds at least one object"):
        list(list_place(f"{filled.uri}/{name}"))


@pytest.mark.parametrize("given", ["http://host/x", "gs://", "s3:///x"])
def test_a_place_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(UserError, match="an input is a path or a place in a bucket"):
        list(list_place(given))
