import base64
import hashlib
import html.parser
import json
import re

import numpy as np
import pytest

from digitmill.imaging.decode import decode
from pipelines.review import review_page
from schemas import labels
from schemas.manifest import Manifest
from tests.pipelines.review.review_pages import make_row, page_of

NASTY = "file:///in/%3Cscript%3Ealert%281%29%3C/script%3E.png"


class Elements(html.parser.HTMLParser):
    """What a browser would make of a page: its elements, and the texts within scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.raw: dict[str, str] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}", {}))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in ("script", "style"):
            # The parser gives a long text in pieces.
            name, attributes = self.elements[-1]
            key = attributes.get("id", name)
            self.raw[key] = self.raw.get(key, "") + data

    def named(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def data_of(page: str) -> dict:
    return json.loads(Elements(page).raw["data"])


@pytest.fixture
def page(manifest: Manifest, digits: np.ndarray) -> str:
    rows = [make_row(number, f"file:///in/{number}.png") for number in range(20)]
    return page_of(manifest, rows, digits, gone=[3, 4])


def test_every_picture_has_its_row_and_every_other_row_is_named(page: str) -> None:
    assert [row["place"] for row in data_of(page)["rows"]] == [*range(3), *range(5, 20)]
    for number in (3, 4):
        assert f"/in/{number}.png</td>" in page
    assert "2 images cannot be shown" in page
    assert "No such file &lt;or&gt; folder" in page


def test_a_row_has_all_columns_of_the_labels_file(page: str) -> None:
    row = data_of(page)["rows"][1]
    assert set(labels.COLUMNS) - {"label", "reviewer"} <= set(row)
    assert (row["path"], row["sha256"], row["predicted"]) == ("file:///in/1.png", f"{1:064x}", 1)
    # JavaScript would round the number.
    assert row["generation"] == "1700000000000000001"
    assert data_of(page)["columns"] == list(labels.COLUMNS)


def test_the_policy_allows_only_the_pages_own_script_and_style(page: str) -> None:
    elements = Elements(page)
    (policy,) = [
        meta["content"]
        for meta in elements.named("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    digests = {
        name: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for name, text in elements.raw.items()
    }
    assert (rules["script-src"], rules["style-src"]) == (digests["script"], digests["style"])
    assert "unsafe" not in policy
    assert not [attributes for _, attributes in elements.elements if "style" in attributes]
    assert not [name for _, attributes in elements.elements for name in attributes if name.startswith("on")]


def test_the_page_makes_no_requests(page: str) -> None:
    for tag, attributes in Elements(page).elements:
        assert tag not in ("iframe", "object", "base")
        for name in ("src", "href", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"https?://|@import|url\(", page)


@pytest.mark.parametrize(
    "uri",
    [
        NASTY,
        "gs://b/<script>alert(1)</script>.png",
        "gs://b/</script><img src=x onerror=alert(1)>",
        'gs://b/"><b>.png',
        "gs://b/<!--<script>",
        "gs://b/]]>&amp;\u2028.png",
    ],
)
def test_a_column_of_text(manifest: Manifest, digits: np.ndarray, page: str, uri: str) -> None:
    # Once of an image that is there, once of one that is gone.
    rows = [make_row(number, uri if number < 2 else f"file:///in/{number}.png") for number in range(20)]
    nasty = page_of(manifest, rows, digits, gone=[1, 3, 4])
    plain = Elements(page)
    names = [tag for tag, _ in Elements(nasty).elements]
    for tag in ("script", "img", "b"):
        assert names.count(tag) == [tag for tag, _ in plain.elements].count(tag)
    assert data_of(nasty)["rows"][0]["path"] == uri


@pytest.mark.parametrize(
    ("uri", "archive", "carried"),
    [
        ("file:///in/a.png", "", False),
        ("gs://b/a.png", "", False),
        ("file:///in/a!b.png", "", False),
        ("file:///in/a.zip!b.png", "file:///in/a.zip", True),
        ("gs://b/a.tar!b.png", "gs://b/a.tar", True),
        ("s3://b/a.png", "", False),
        ("az://b/a.png", "", False),
    ],
)
def test_pixels_are_included_if_training_cannot_read_the_image(
    manifest: Manifest, digits: np.ndarray, uri: str, archive: str, carried: bool
) -> None:
    (shown,) = data_of(page_of(manifest, [make_row(0, uri, archive=archive)], digits))["rows"]
    assert bool(shown["pixels"]) == carried
    if carried:
        assert (decode(base64.b64decode(shown["pixels"])) == digits[0]).all()


def test_sprites_hold_the_digits_that_are_shown_in_order(
    manifest: Manifest, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_page, "PER_SPRITE", 8)
    monkeypatch.setattr(review_page, "COLUMNS", 3)
    rows = [make_row(number, f"file:///in/{number}.png") for number in range(20)]
    page = page_of(manifest, rows, digits, gone=[2])
    sources = [image["src"] for image in Elements(page).named("img") if image.get("class") == "sprite"]
    sheets = [decode(base64.b64decode(source.partition(",")[2])) for source in sources]
    assert [sheet.shape for sheet in sheets] == [(84, 84), (84, 84), (28, 84)]
    shown = [digits[place] for place in range(20) if place != 2]
    for number, digit in enumerate(shown):
        down, right = divmod(number % 8, 3)
        assert (sheets[number // 8][28 * down :, 28 * right :][:28, :28] == digit).all()


def test_a_run_without_rows_for_review_has_a_page(manifest: Manifest) -> None:
    page = page_of(manifest, [], [])
    assert data_of(page)["rows"] == []
    assert "cannot be shown" not in page


def test_the_page_is_deterministic(manifest: Manifest, digits: np.ndarray, page: str) -> None:
    rows = [make_row(number, f"file:///in/{number}.png") for number in range(20)]
    assert page_of(manifest, rows, digits, gone=[3, 4]) == page


def test_a_row_that_seems_no_digit_is_marked(manifest: Manifest, digits: np.ndarray) -> None:
    rows = [make_row(number, f"file:///in/{number}.png") for number in range(2)]
    rows[1] = rows[1]._replace(reason="NOT_A_DIGIT")
    page = page_of(manifest, rows, digits)
    assert [row["noDigit"] for row in data_of(page)["rows"]] == [False, True]
    assert '<option value="none">no digit</option>' in page
