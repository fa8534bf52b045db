"""Fits matplotlib's SVG into a page: in the page's colours, without the styles that its policy forbids."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from markupsafe import Markup

from digitmill.reports.charts.palette import VARIABLES

_SVG: Final = "http://www.w3.org/2000/svg"
_XLINK: Final = "{http://www.w3.org/1999/xlink}href"
_REFERENCE: Final = re.compile(r'(?:href="#|url\(#)([^")]+)')
_FONT_SIZE: Final = re.compile(r"([\d.]+)px")


def for_page(svg: str, *, name: str, tips: Mapping[str, str]) -> Markup:
    """Return a drawing as an element of a page.

    Args:
        svg: what matplotlib wrote, with `svg.fonttype` none.
        name: unique in the page; comes before every id, which elements of two drawings may share.
        tips: what is shown where the pointer rests, by the `gid` of the artist; an empty one keeps the
            artist's id, for scripts.
    """
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)
    kept = {*_REFERENCE.findall(svg), *tips}
    for element in list(root.iter()):
        for child in list(element):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                element.remove(child)
        _tidy(element, name, kept)
        tip = tips.get(element.get("id", "").removeprefix(f"{name}-"))
        if tip:
            title = ET.Element(f"{{{_SVG}}}title")
            title.text = tip
            element.insert(0, title)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    # The wrapper in the page has the text alternative.
    root.set("aria-hidden", "true")
    return Markup(ET.tostring(root, encoding="unicode"))


def _tidy(element: ET.Element, name: str, kept: Collection[str]) -> None:
    style = element.attrib.pop("style", "")
    attributes = dict(element.attrib) | dict(_attributes(style))
    element.attrib.clear()
    for key, value in attributes.items():
        if key == "id":
            if value in kept:
                element.set(key, f"{name}-{value}")
        elif key == _XLINK:
            element.set("href", value.replace("#", f"#{name}-", 1))
        else:
            element.set(key, VARIABLES.get(value, value.replace("url(#", f"url(#{name}-")))


def _attributes(style: str) -> Iterator[tuple[str, str]]:
    """Yield CSS declarations as SVG attributes, which the page's policy allows; the font is the page's."""
    for declaration in filter(None, map(str.strip, style.split(";"))):
        key, _, value = declaration.partition(":")
        if key == "font":
            size = _FONT_SIZE.search(value)
            if size:
                yield "font-size", size[1]
        elif key != "font-family":
            yield key, value.strip()
