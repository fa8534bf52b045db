"""Finds font files, leaves out those without legible digits, and assigns font families to splits.

A family goes to one split as a whole, together with families that draw nearly the same digits under another
name, so that no held-out family has been trained on.
"""

import bisect
import collections
import difflib
import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import cv2
import numpy as np

from schemas.digit import BOX, CLASSES, SIDE
from schemas.errors import UserError
from trainer.data.drawing.ink import draw_text, with_margin
from trainer.data.splits import PARTS

_SUFFIXES: Final = (".ttf", ".otf", ".ttc")
LETTERS: Final = "ACEFHKMNPRTUVWXYacdefhkmnprtuvwx"
"""Letters that don't look like digits, as O, I, l, S, Z, B, D, G, J, L, Q, b, g, o, q, s, y, z and | do."""

SYMBOLS: Final = '@#%&*+=<>?~^$€£§{}"-_:;'
"""Without strokes, which are read as 1, and dots, commas and circles, which are read as 0."""

_SIZE: Final = 96
"""Pixels of an em at which fonts are checked."""

_COMMON: Final = (
    "DejaVuSans",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "cmmi10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)
"""Fonts that come with matplotlib."""

_DIGITS: Final = "0123456789"
_WITHOUT_HOLES: Final = (1, 2, 3, 5, 7)
_HOLE: Final = 0.01
"""Share of a digit's box from which on an enclosed piece of paper is a hole."""

_FEWEST_LIKE: Final = 5
"""Digits of a font that must look more like the same digit of a common font than like another one. Segments
and narrow or decorated digits have 5 to 7, symbols and other scripts up to 4."""

_ALIKE: Final = 0.985
"""Two digits of a font cannot be told apart when the cosine of their shapes is above this."""

_SAME_DESIGN: Final = 0.99
"""Fonts are one design when the cosine of their ten digits' pictures is above this."""

_SHARES: Final = (0.8, 0.9)
"""Where hashes of families' names, in [0, 1), are training, validation and test."""

_WEIGHTS: Final = (
    "thin hairline extralight ultralight light book regular roman medium semibold demibold demi bold "
    "extrabold ultrabold black heavy italic oblique slanted condensed semicondensed extracondensed narrow "
    "compressed cond wide expanded extended"
)
_STYLES: Final = frozenset(_WEIGHTS.split())

_LICENSES: Final = {
    "open font license": "SIL Open Font License",
    "apache license": "Apache License",
    "general public license": "GNU GPL",
    "gust font license": "GUST Font License",
    "bitstream": "Bitstream Vera",
    "public domain": "public domain",
}
"""What the texts of common licenses have in them, and the licenses' names."""

_NOISE: Final = re.compile(r"[\W_]*|(\S*\d{8}\S*\s*)+")
"""What some fonts have in place of a license: a rule of dashes, or the numbers of a converter's run."""

_LONGEST: Final = 80
"""Characters of another license's text."""

_FAMILY, _LICENSE, _TYPOGRAPHIC_FAMILY = 1, 13, 16
"""Numbers of names in a font's table of names."""


class Font(NamedTuple):
    """A font file whose digits are legible.

    Attributes:
        path: the file.
        family: name of the family, without words for weight, width and slant.
        characters: characters of `LETTERS` and `SYMBOLS` that the font has.
        license: name of its license, or the start of the license text in the file; empty if it has none.
        sha256: SHA-256 of the file, hexadecimal.
    """

    path: str
    family: str
    characters: str
    license: str
    sha256: str


Design = tuple[Font, ...]
"""Fonts of a family, and of those that draw the same digits under another name."""


def find_designs(places: Sequence[str]) -> dict[str, list[Design]]:
    """Return the designs with legible digits of each split, by the splits' names.

    Args:
        places: folders, searched at any depth, and names of families; empty for all fonts of this machine and
            those that come with matplotlib.

    Raises:
        UserError: if a place or a name has no such font.
    """
    folders = [place for place in places if os.sep in place or os.path.isdir(place)]
    names = [place for place in places if place not in folders]
    paths = [path for folder in folders for path in _files_in(folder)]
    if names or not folders:
        installed = _installed()
        paths += _named(installed, names) if names else installed
    checked = _distinct(paths)
    if not checked:
        raise UserError(
            "no font with legible digits found",
            value=",".join(places) or "this machine's fonts",
            hint="name a folder of .ttf or .otf files, or install fonts",
        )
    first = _same_designs(checked)
    designs: dict[str, list[Font]] = collections.defaultdict(list)
    for font, _ in checked:
        designs[first[font.family]].append(font)
    return {part: [tuple(designs[name]) for name in names] for part, names in divide(designs).items()}


def divide(designs: Iterable[str]) -> dict[str, list[str]]:
    """Assign designs to splits by a hash of their names.

    With three or more designs, each split gets at least one. With fewer, all are training designs.
    """
    order = sorted(designs, key=_hash)
    if len(order) < len(PARTS):
        return {part: order if part == PARTS[0] else [] for part in PARTS}
    starts = [bisect.bisect_left(order, share, key=_hash) for share in _SHARES]
    # Where the shares leave a split without any, its neighbor gives one.
    validation = min(max(starts[0], 1), len(order) - 2)
    test = min(max(starts[1], validation + 1), len(order) - 1)
    return dict(zip(PARTS, (order[:validation], order[validation:test], order[test:]), strict=True))


def _hash(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.casefold().encode()).digest()[:6]) / 2**48


def _files_in(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        raise UserError("no such folder of fonts", value=folder, hint="check the path")
    found = pathlib.Path(folder).rglob("*")
    return sorted(str(path) for path in found if path.suffix.lower() in _SUFFIXES)


def _installed() -> list[str]:
    from matplotlib import font_manager, get_data_path

    own = _files_in(os.path.join(get_data_path(), "fonts"))
    return sorted(font_manager.findSystemFonts()) + own


def _named(paths: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return the files of families of these names, whatever their case."""
    by_name: dict[str, list[str]] = collections.defaultdict(list)
    shown: dict[str, str] = {}
    for path in paths:
        if face := _face(path):
            for name in {_family_name(face), _without_style(_family_name(face))}:
                by_name[name.casefold()].append(path)
                shown[name.casefold()] = name
    for name in names:
        if name.casefold() not in by_name:
            close = difflib.get_close_matches(name.casefold(), shown, n=3)
            meant = f"did you mean {', '.join(shown[found] for found in close)}?" if close else ""
            raise UserError(
                "no such font family on this machine",
                value=name,
                hint=meant or "`fc-list : family` lists them",
            )
    return [path for name in names for path in by_name[name.casefold()]]


def _face(path: str) -> Any | None:
    """Return matplotlib's view of a font file; None if FreeType cannot read it."""
    from matplotlib import ft2font

    try:
        return ft2font.FT2Font(path)
    except (RuntimeError, OSError):
        return None


def _family_name(face: Any) -> str:
    return _name(face, _TYPOGRAPHIC_FAMILY) or _name(face, _FAMILY) or face.family_name


def _name(face: Any, number: int) -> str:
    """Return an entry of a font's table of names, on one line: in English for Windows, or the first one."""
    try:
        names = face.get_sfnt()
    except (RuntimeError, ValueError):  # fonts that are no TrueType or OpenType
        return ""
    found = {key: text for key, text in names.items() if key[3] == number}
    if not found:
        return ""
    key = (3, 1, 0x409, number) if (3, 1, 0x409, number) in found else min(found)
    text = found[key].decode("utf-16-be" if key[0] in (0, 3) else "mac_roman", errors="replace")
    return " ".join(text.split())


def _license(face: Any) -> str:
    text = _name(face, _LICENSE)
    known = (name for part, name in _LICENSES.items() if part in text.casefold())
    # Some texts begin with a rule of dashes.
    return next(known, "" if _NOISE.fullmatch(text) else text.lstrip("-=*# ")[:_LONGEST])


def _without_style(name: str) -> str:
    words = name.split()
    while len(words) > 1 and words[-1].casefold() in _STYLES:
        words.pop()
    return " ".join(words)


def _distinct(paths: Iterable[str]) -> list[tuple[Font, np.ndarray]]:
    """Return the fonts with legible digits and their pictures, each file's content once, in order."""
    found: dict[str, tuple[Font, np.ndarray]] = {}
    for path in paths:
        face = _face(path)
        characters = _characters(face, _DIGITS + LETTERS + SYMBOLS) if face else ""
        if not characters.startswith(_DIGITS):
            continue
        content = pathlib.Path(path).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 in found or (pictures := legible_digits(path)) is None:
            continue
        family = _without_style(_family_name(face))
        others = characters.removeprefix(_DIGITS)
        found[sha256] = Font(path, family, others, _license(face), sha256), pictures
    # Not by path: another machine keeps its fonts elsewhere.
    return sorted(found.values(), key=lambda one: (one[0].family, one[0].sha256))


def _characters(face: Any, wanted: str) -> str:
    """Return those of some characters that a font has."""
    known = face.get_charmap()
    return "".join(character for character in wanted if ord(character) in known)


def legible_digits(path: str) -> np.ndarray | None:
    """Return a font's digits, uint8[10, 28, 28] of ink in a box; None if they are not legible.

    Digits are not legible if they are hollow, framed, too similar to each other, or look like other digits,
    as in fonts of symbols or other scripts.
    """
    try:
        drawn = [draw_text(path, digit, size=_SIZE) for digit in _DIGITS]
    except OSError:
        return None
    if any(ink.max() < 128 for ink in drawn) or _is_hollow(drawn):
        return None
    shapes = _shapes(drawn)
    alike = (_cosines(shapes, shapes) - np.eye(CLASSES)).max()
    nearest = _cosines(shapes, _common_shapes()).argmax(axis=1) % CLASSES
    if alike > _ALIKE or (nearest == np.arange(CLASSES)).sum() < _FEWEST_LIKE:
        return None
    return np.stack([_boxed(ink) for ink in drawn])


def _is_hollow(digits: Sequence[np.ndarray]) -> bool:
    """Whether most digits that have no hole have one."""
    return sum(_has_hole(digits[digit]) for digit in _WITHOUT_HOLES) > len(_WITHOUT_HOLES) // 2


def _has_hole(ink: np.ndarray) -> bool:
    paper = cv2.copyMakeBorder((ink < 128).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, _, stats, _ = cv2.connectedComponentsWithStats(paper, connectivity=4)
    # The first two are ink and the paper around it.
    return bool((stats[2:, cv2.CC_STAT_AREA] > _HOLE * ink.size).any())


def _boxed(ink: np.ndarray) -> np.ndarray:
    """Return ink in the middle of a picture, fitted into the box: what preprocessing makes may change."""
    factor = BOX / max(ink.shape)
    height, width = (max(1, round(side * factor)) for side in ink.shape)
    picture = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    fitted = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    picture[top : top + height, left : left + width] = fitted
    return picture


def _shapes(digits: Sequence[np.ndarray]) -> np.ndarray:
    """Return digits stretched to a square, as `_unit_vectors`: narrow and wide fonts have the same shapes."""
    squares = [cv2.resize(ink, (BOX, BOX), interpolation=cv2.INTER_AREA) for ink in digits]
    return _unit_vectors([with_margin(ink, 4) for ink in squares])


def _unit_vectors(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Return blurred pictures as vectors of length 1, float32[N, pixels]."""
    blurred = [cv2.GaussianBlur(picture, (0, 0), 1.5).ravel() for picture in pictures]
    vectors = np.array(blurred, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _cosines(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    # BLAS would wait for threads, longer than it takes to multiply.
    return np.einsum("ik,jk->ij", vectors, others)


@functools.cache
def _common_shapes() -> np.ndarray:
    """Return the shapes of common fonts' digits, ten after ten, float32[N, pixels]."""
    from matplotlib import get_data_path

    folder = os.path.join(get_data_path(), "fonts", "ttf")
    return np.concatenate(
        [
            _shapes([draw_text(f"{folder}/{name}.ttf", digit, size=_SIZE) for digit in _DIGITS])
            for name in _COMMON
        ]
    )


def _same_designs(checked: Sequence[tuple[Font, np.ndarray]]) -> dict[str, str]:
    """Return each family's design: the first by name of all that fonts of the same look link to it."""
    vectors = np.stack([_unit_vectors(pictures).ravel() for _, pictures in checked]) / np.sqrt(CLASSES)
    first = {font.family: font.family for font, _ in checked}
    for one, other in np.argwhere(np.triu(vectors @ vectors.T > _SAME_DESIGN, 1)):
        joined = {first[checked[one][0].family], first[checked[other][0].family]}
        if len(joined) > 1:
            first = {family: min(joined) if found in joined else found for family, found in first.items()}
    return first
