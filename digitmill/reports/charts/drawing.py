"""Drawings of lines, areas, dots and words: as SVG in a page's colors, and as PNG by OpenCV.

Both come from the same marks. matplotlib would take a second to import and another one to draw a report.
OpenCV is needed anyway for the digits, and has its own font.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import cv2
import numpy as np
from markupsafe import Markup

from digitmill.reports.charts.palette import INK, VARIABLES

Point = tuple[float, float]
"""Distance to the right and down, in points."""

_PIXELS: Final = 200 / 72
"""PNG pixels per point: 200 dots per inch."""

_PAPER: Final = 255
"""White paper, as one number: faster to fill with than three."""

_FLAT: Final = (
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
    *(cv2.IMWRITE_PNG_COMPRESSION, 3),
)
"""Drawings have flat colors: without filters, a PNG is half as large and faster to write."""

_FRACTION: Final = 4
"""Fractional bits of the pixel coordinates that OpenCV draws with."""

_MIDDLE: Final = 0.36
"""Distance from the middle of digits and capitals to their baseline, as a share of the letter size."""

_ANCHORS: Final = {"start": cv2.PUT_TEXT_ALIGN_LEFT, "end": cv2.PUT_TEXT_ALIGN_RIGHT}

HEAD: Final = 18
"""Height above a PNG for its title, in points. A page has the title in its text."""


class Mark(Protocol):
    """Element of a drawing; positions and sizes are in points, colors are from `palette`."""

    def svg(self, attributes: Markup, title: Markup) -> Markup:
        """Return the SVG element with further attributes and with a title inside."""

    def paint(self, image: np.ndarray) -> None:
        """Paint the mark into an image, uint8[height, width, 3], BGR."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A line through points; `dashes` are the lengths of dash and gap."""

    points: Sequence[Point]
    color: str
    width: float
    dashes: tuple[float, float] | None = None

    def svg(self, attributes: Markup, title: Markup) -> Markup:
        """Return a polyline."""
        # Same line ends as in OpenCV.
        ends = f'dasharray="{_numbers(self.dashes)}"' if self.dashes else 'linecap="round"'
        return _element(
            "polyline",
            f'points="{_places(self.points)}" fill="none" stroke="{_variable(self.color)}" '
            f'stroke-width="{self.width:g}" stroke-{ends}',
            attributes,
            title,
        )

    def paint(self, image: np.ndarray) -> None:
        """Paint the line, or each of its dashes."""
        pieces = [self.points] if self.dashes is None else list(_dashed(self.points, *self.dashes))
        cv2.polylines(
            image,
            [_pixels(piece) for piece in pieces],
            False,
            _bgr(self.color),
            max(1, round(self.width * _PIXELS) - 1),  # smoothing adds about a pixel
            cv2.LINE_AA,
            _FRACTION,
        )


@dataclasses.dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    color: str

    @classmethod
    def box(cls, left: float, top: float, right: float, bottom: float, color: str) -> "Area":
        """Return a rectangle."""
        return cls([(left, top), (right, top), (right, bottom), (left, bottom)], color)

    def svg(self, attributes: Markup, title: Markup) -> Markup:
        """Return a polygon."""
        text = f'points="{_places(self.points)}" fill="{_variable(self.color)}"'
        return _element("polygon", text, attributes, title)

    def paint(self, image: np.ndarray) -> None:
        """Paint the area; skip one without height, whose border OpenCV would paint."""
        if len({y for _, y in self.points}) == 1:
            return
        cv2.fillPoly(image, [_pixels(self.points)], _bgr(self.color), cv2.LINE_AA, _FRACTION)


@dataclasses.dataclass(frozen=True)
class Dot:
    """A filled circle, or a ring if it has a width."""

    at: Point
    radius: float
    color: str
    ring: float | None = None

    def svg(self, attributes: Markup, title: Markup) -> Markup:
        """Return a circle."""
        color = _variable(self.color)
        fill = f'fill="{color}"'
        if self.ring is not None:
            fill = f'fill="none" stroke="{color}" stroke-width="{self.ring:g}"'
        text = f'cx="{_number(self.at[0])}" cy="{_number(self.at[1])}" r="{self.radius:g}" {fill}'
        return _element("circle", text, attributes, title)

    def paint(self, image: np.ndarray) -> None:
        """Paint the circle."""
        x, y = _pixels([self.at])[0].tolist()
        width = -1 if self.ring is None else round(self.ring * _PIXELS)
        radius = round(self.radius * _PIXELS * 2**_FRACTION)
        cv2.circle(image, (x, y), radius, _bgr(self.color), width, cv2.LINE_AA, _FRACTION)


@dataclasses.dataclass(frozen=True)
class Words:
    """A line of text, centered vertically at a position; `anchor` aligns it horizontally."""

    at: Point
    text: str
    color: str
    size: float
    anchor: str = "start"
    bold: bool = False

    @property
    def baseline(self) -> float:
        """Vertical position of the baseline."""
        return self.at[1] + _MIDDLE * self.size

    def svg(self, attributes: Markup, title: Markup) -> Markup:
        """Return a text element, in the page's font."""
        anchor = "" if self.anchor == "start" else f' text-anchor="{self.anchor}"'
        bold = ' font-weight="bold"' if self.bold else ""
        text = (
            f'x="{_number(self.at[0])}" y="{_number(self.baseline)}" fill="{_variable(self.color)}" '
            f'font-size="{self.size:g}"{anchor}{bold}'
        )
        return _element("text", text, attributes, title + Markup.escape(self.text))

    def paint(self, image: np.ndarray) -> None:
        """Paint the text; paint bold text repeatedly, because the font has one weight."""
        size = round(self.size * _PIXELS)
        x, y = round(self.at[0] * _PIXELS), round(self.baseline * _PIXELS)
        if self.anchor == "middle":  # OpenCV centers around the middle of the picture
            x -= round(text_width(self.text, self.size) * _PIXELS / 2)
        flags = _ANCHORS.get(self.anchor, cv2.PUT_TEXT_ALIGN_LEFT)
        for shift in range(3 if self.bold else 1):
            cv2.putText(image, self.text, (x + shift, y), _bgr(self.color), _font(), size, 400, flags)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A grayscale picture with square pixels; for PNG only.

    Attributes:
        pixels: uint8[N, N].
        at: position of the top left corner.
        side: width in points.
    """

    pixels: np.ndarray
    at: Point
    side: float

    def svg(self, attributes: Markup, title: Markup) -> Markup:
        """Return an empty text: pages show pictures by other means."""
        return Markup()

    def paint(self, image: np.ndarray) -> None:
        """Paint the pixels."""
        side = round(self.side * _PIXELS)
        x, y = (round(place * _PIXELS) for place in self.at)
        large = cv2.resize(self.pixels, (side, side), interpolation=cv2.INTER_NEAREST)
        image[y : y + side, x : x + side] = large[:, :, None]


@dataclasses.dataclass
class Drawing:
    """Marks in drawing order, with ids and tooltips."""

    width: float
    height: float
    marks: list[tuple[Mark, str, str]] = dataclasses.field(default_factory=list)

    def add(self, mark: Mark, *, name: str = "", tip: str = "") -> None:
        """Draw a mark on top of the others; its `name` becomes its id in the page."""
        self.marks.append((mark, name, tip))

    def svg(self, name: str) -> Markup:
        """Return the drawing as an SVG element; its name must be unique in the page and prefixes all ids."""
        elements = (
            mark.svg(Markup(' id="{}-{}"').format(name, own) if own else Markup(), _title(tip))
            for mark, own, tip in self.marks
        )
        # The page's wrapper has the text alternative, and the page sets the size.
        box = f"0 0 {self.width:g} {self.height:g}"
        start = Markup('<svg xmlns="http://www.w3.org/2000/svg" viewBox="{}" aria-hidden="true">').format(box)
        return start + Markup().join(elements) + Markup("</svg>")

    def png(self, title: str) -> bytes:
        """Return the drawing with its title as a PNG; the same marks give the same bytes."""
        head, height, width = (round(size * _PIXELS) for size in (HEAD, self.height, self.width))
        image = np.full((head + height, width, 3), _PAPER, np.uint8)
        Words((6, HEAD / 2 + 1), title, INK, 13, bold=True).paint(image[:head])
        for mark, _, _ in self.marks:
            mark.paint(image[head:])
        return cv2.imencode(".png", image, _FLAT)[1].tobytes()


def text_width(text: str, size: float) -> float:
    """Return the width of a line of text in points, in the PNG's font; a page's font is similar."""
    left, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _font(), round(size * _PIXELS), 400)
    return (left + width) / _PIXELS


@functools.cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("uni")


def _dashed(points: Sequence[Point], dash: float, gap: float) -> Iterator[list[Point]]:
    """Yield the dashes of a line, as lines."""
    if len(points) < 2:
        return
    corners = np.array(points, float)
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])

    def at(length: float) -> Point:
        x, y = (np.interp(length, lengths, axis) for axis in corners.T)
        return float(x), float(y)

    for start in np.arange(0, lengths[-1], dash + gap):
        end = min(start + dash, lengths[-1])
        between = [tuple(corners[index]) for index in np.flatnonzero((lengths > start) & (lengths < end))]
        yield [at(start), *between, at(end)]


def _pixels(points: Sequence[Point]) -> np.ndarray:
    """Return points for OpenCV: int32[N, 2], in fractions of a pixel."""
    scaled = (np.array(points, float).reshape(-1, 2) * _PIXELS - 0.5) * 2**_FRACTION
    return np.round(scaled).astype(np.int32)


def _bgr(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color[1:])
    return blue, green, red


def _variable(color: str) -> str:
    return VARIABLES.get(color, color)


def _element(kind: str, text: str, attributes: Markup, content: Markup) -> Markup:
    start = Markup(f"<{kind} {text}") + attributes
    return start + Markup("/>") if not content else start + Markup(">") + content + Markup(f"</{kind}>")


def _title(tip: str) -> Markup:
    return Markup("<title>{}</title>").format(tip) if tip else Markup()


def _places(points: Sequence[Point]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _numbers(numbers: Sequence[float]) -> str:
    return " ".join(map(_number, numbers))


def _number(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
