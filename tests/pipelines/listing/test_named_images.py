import pathlib

import pytest

from pipelines.listing.named_images import NamedImages, has_fields, read_names
from schemas.errors import UserError


def names(tmp_path: pathlib.Path, text: str, **more: object) -> NamedImages:
    (tmp_path / "list").write_text(text)
    return read_names(str(tmp_path / "list"), **more)


def test_only_what_is_asked_for_is_carried(tmp_path: pathlib.Path) -> None:
    found = names(tmp_path, "batch,path,customer\n7,/in/b.png,x\n,/in/a.png,\n", carry=("batch",))
    assert list(found.uris) == ["file:///in/a.png", "file:///in/b.png"]
    assert found.carried == {"file:///in/b.png": '{"batch": "7"}'}


def test_fields_are_carried_where_the_list_has_both_columns(tmp_path: pathlib.Path) -> None:
    found = names(tmp_path, "path,field,position\n/in/a.png,f,1\n")
    assert found.carried == {"file:///in/a.png": '{"field": "f", "position": "1"}'}
    assert has_fields(str(tmp_path / "list"))
    assert not names(tmp_path, "path,field\n/in/a.png,f\n").carried
    assert not has_fields(str(tmp_path / "list"))
    assert not has_fields(str(tmp_path / "none"))


def test_images_come_back_from_their_bytes_and_in_parts(tmp_path: pathlib.Path) -> None:
    found = names(tmp_path, "path,batch\ngs://b/c,3\ngs://b/a,1\ngs://b/b,\n", carry=("batch",))
    assert NamedImages.from_bytes(found.to_bytes()) == found
    assert found.part(1, 3) == NamedImages(["gs://b/b", "gs://b/c"], {"gs://b/c": '{"batch": "3"}'})
    assert found.since("gs://b/b") == found.part(1, 3)


def test_what_is_carried_goes_with_the_images(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a b.png").write_bytes(b"x")
    (image,) = names(tmp_path, "path,batch\na b.png,3\n", carry=("batch",)).find()
    assert image.carried == '{"batch": "3"}'


@pytest.mark.parametrize("text", ["/in/a.png\n", "path,color\n/in/a.png,red\n"])
def test_a_list_without_a_column_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    with pytest.raises(UserError, match="lacks columns"):
        names(tmp_path, text, carry=("batch",))
