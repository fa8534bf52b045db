import xml.etree.ElementTree as ET

import pytest

from digitmill.reports.charts.palette import ACCENT
from digitmill.reports.charts.svg import for_page

DRAWING = f"""<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x.dtd">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
width="9pt" height="9pt" viewBox="0 0 9 9">
<metadata>made today</metadata><defs><style>*{{}}</style><path id="m1" d="M 0 0"/><clipPath id="p1"/></defs>
<g id="bar-1"><path id="auto" clip-path="url(#p1)" style="fill: {ACCENT}; stroke-width: 2"/></g>
<g id="dot"/><use xlink:href="#m1"/>
<text style="font: 11px 'DejaVu Sans', sans-serif; text-anchor: middle">a &lt;b&gt;</text>
<text style="font-size: 9px; font-family: 'DejaVu Sans'">c</text></svg>"""


@pytest.fixture
def made() -> str:
    return for_page(DRAWING, name="chart", tips={"bar-1": "3 <images>", "dot": ""})


def test_there_are_no_styles_and_no_fonts(made: str) -> None:
    assert "style" not in made
    assert "DejaVu" not in made
    assert 'font-size="11"' in made
    assert 'font-size="9px"' in made
    assert 'text-anchor="middle"' in made
    assert "made today" not in made
    assert "<!DOCTYPE" not in made


def test_colours_are_the_pages(made: str) -> None:
    assert 'fill="var(--accent)"' in made
    assert ACCENT not in made


def test_ids_are_the_charts_own_and_only_those_that_are_used(made: str) -> None:
    root = ET.fromstring(made)
    ids = {element.get("id") for element in root.iter()} - {None}
    assert ids == {"chart-m1", "chart-p1", "chart-bar-1", "chart-dot"}
    assert 'href="#chart-m1"' in made
    assert "url(#chart-p1)" in made


def test_tips_are_titles_and_escaped(made: str) -> None:
    assert "<title>3 &lt;images&gt;</title>" in made
    assert made.count("<title>") == 1
    assert "a &lt;b&gt;" in made


def test_the_page_gives_the_size(made: str) -> None:
    root = ET.fromstring(made)
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == (None, None, "0 0 9 9")
    assert root.get("aria-hidden") == "true"
