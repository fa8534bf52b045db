import dataclasses
import html.parser

import pytest

from pipelines.agreement import Disagreement
from pipelines.charts import confidence_histogram
from pipelines.page import render_page
from pipelines.statistics import BINS, RunStatistics
from schemas.manifest import Manifest

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Outline(html.parser.HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_says_what_happened(statistics: RunStatistics, manifest: Manifest) -> None:
    text = " ".join(Outline(render_page(statistics, manifest)).text.split())
    for fact in (
        "62 images through cnn",
        "84.75 %",
        "62 listed = 60 scored + 2 failed + 0 skipped",
        "EMPTY",
    ):
        assert fact in text


def test_names_are_shown_and_not_run(statistics: RunStatistics, manifest: Manifest) -> None:
    page = render_page(statistics, manifest)
    outline = Outline(page)
    assert "script" not in {tag for tag, _ in outline.tags}
    assert "/in/b/<x>.png" in outline.text
    assert any(attributes.get("alt") == "/in/a/<b>.png, taken for 1" for _, attributes in outline.tags)


def test_nothing_is_loaded_from_elsewhere(statistics: RunStatistics, manifest: Manifest) -> None:
    outline = Outline(render_page(statistics, manifest))
    for _, attributes in outline.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    policies = [a["content"] for tag, a in outline.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_every_picture_has_a_text_alternative(statistics: RunStatistics, manifest: Manifest) -> None:
    for tag, attributes in Outline(render_page(statistics, manifest)).tags:
        assert tag != "img" or attributes["alt"]


def test_a_run_where_all_failed_has_a_page(statistics: RunStatistics, manifest: Manifest) -> None:
    statistics = dataclasses.replace(
        statistics,
        scored=0,
        accepted=0,
        tallies=(),
        confidences=(0,) * BINS,
        confusion=((0,) * 10,) * 10,
        doubtful=(),
    )
    counts = dataclasses.replace(manifest.counts, listed=2, scored=0)
    manifest = dataclasses.replace(manifest, counts=counts, labelled=0, right=0, accepted=0)
    assert "2 listed = 0 scored + 2 failed" in Outline(render_page(statistics, manifest)).text


@pytest.mark.parametrize("accept", [0.0, 0.55, 1.0])
def test_the_histogram_takes_the_pages_colours(accept: float) -> None:
    svg = confidence_histogram([1] * BINS, accept=accept)
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert ("var(--review)" in svg) == (accept > 0)
    assert ("var(--accent)" in svg) == (accept < 1)
    assert svg == confidence_histogram([1] * BINS, accept=accept)


def test_a_challenger_and_what_it_sees_otherwise_are_shown(
    statistics: RunStatistics, manifest: Manifest
) -> None:
    challenged = dataclasses.replace(
        manifest, challenger={"recipe": "rival", "digest": "e" * 64}, agreed=57, challenger_right=55
    )
    image = Disagreement("file:///in/a/%3Cb%3E.png", 1, 0.97, 7, 0.95, 7, "iVBORw0KGgo=")
    page = render_page(dataclasses.replace(statistics, disagreements=(image,)), challenged)
    text = " ".join(Outline(page).text.split())
    assert "gave the same digit to 57 of 60 images" in text
    assert "97 %; challenger 7, 95 %" in text
    assert "taken for 1, by the challenger for 7" in page
    assert "Challenger" not in render_page(statistics, manifest)


def test_the_engine_is_shown(statistics: RunStatistics, manifest: Manifest) -> None:
    assert "litert: there is no GPU" in Outline(render_page(statistics, manifest)).text
