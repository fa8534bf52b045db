import pathlib

import pytest

from digitmill.reports.gallery import Link
from pipelines.report.image_links import ImageLinks


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("file:///data/in/a%20b.png", Link(href="../in/a%20b.png")),
        ("file:///data/out/12:30.png", Link(href="12%3A30.png")),
        ("file:///data/in/%FF.png", Link(href="../in/%FF.png")),
        ("gs://bucket/a b.png", Link(address="gs://bucket/a b.png")),
        ("file:///data/in/all.zip!a.png", Link(address="/data/in/all.zip!a.png")),
    ],
)
def test_files_are_opened_and_others_copied(uri: str, link: Link) -> None:
    assert ImageLinks("/data/out").to(uri) == link


@pytest.mark.parametrize("folder", ["", "gs://bucket/out"])
def test_from_elsewhere_a_link_is_absolute(folder: str) -> None:
    assert ImageLinks(folder).to("file:///data/a.png") == Link(href="file:///data/a.png")


def test_a_page_elsewhere_links_from_there(tmp_path: pathlib.Path) -> None:
    uri = (tmp_path / "in" / "a.png").as_uri()
    assert ImageLinks.of_page_in(str(tmp_path / "pages")).to(uri).href == "../in/a.png"
