"""Writes public sets of digits that are not MNIST as folders of images, one sub-folder a label.

Usage: python -m benchmarks.digit_sets FOLDER [--source ../shared/data/digits]

FOLDER gets SET/PART/LABEL/NAME, where PART is train, validation or test:

- bhmsds (wblachowski, MIT): photographed European handwriting. Parts by number, in which sheets follow
  each other. Of its symbols, plus, minus, dot, w, x and y are `unreadable`; slash and z, which look like 1
  and 2, are left out.
- semeion (M. Buscema, UCI, CC BY 4.0): 16 x 16 bitmaps by some 80 writers. Parts by writers, half for test.
- printed (kaydee0502, MIT): printed digits 1 to 9 as 28 x 28 JPEG; its `0` are empty cells, `unreadable`
  here. Validation only.
- optdigits (E. Alpaydin, C. Kaynak, UCI, CC BY 4.0): the 8 x 8 digits that scikit-learn brings along.
  Validation only.
"""

import argparse
import gzip
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Final, NamedTuple

import cv2
import numpy as np

from schemas.labels import UNREADABLE
from trainer.data.sources.folder import CREDIT_FILE

SOURCE: Final = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "digits"

_BHMSDS: Final = (("train", range(1_050)), ("validation", range(1_050, 1_200)), ("test", range(1_200, 1_500)))
_BHMSDS_UNREADABLE: Final = ("plus", "minus", "dot", "w", "x", "y")
_BHMSDS_LEFT_OUT: Final = ("slash", "z")

_SEMEION_SIDE: Final = 16
_SEMEION: Final = (("train", range(677)), ("validation", range(677, 757)), ("test", range(757, 10_000)))
"""By line: writers follow each other, in groups."""

_OPTDIGITS_INK: Final = 16
"""Greatest value of a pixel."""


class Picture(NamedTuple):
    """One image of a set.

    Attributes:
        part: train, validation or test.
        label: 0 to 9, or unreadable.
        name: the file's name.
        content: the file's bytes.
    """

    part: str
    label: str
    name: str
    content: bytes


def bhmsds(source: pathlib.Path = SOURCE) -> Iterator[Picture]:
    """Yield the pictures of bhmsds.zip."""
    for path, content in _members(source / "bhmsds.zip"):
        label = path.parent.name
        number = int(path.stem.rpartition("-")[2])
        part = next(name for name, numbers in _BHMSDS if number in numbers)
        if label not in _BHMSDS_LEFT_OUT:
            yield Picture(part, UNREADABLE if label in _BHMSDS_UNREADABLE else label, path.name, content)


def semeion(source: pathlib.Path = SOURCE) -> Iterator[Picture]:
    """Yield the pictures of semeion.data.gz, dark ink on white paper."""
    with gzip.open(source / "semeion.data.gz", "rt", encoding="ascii") as file:
        for number, line in enumerate(file):
            bits = np.array([int(bit) for bit in line.strip()], np.uint8)
            pixels = bits[: _SEMEION_SIDE**2].reshape(_SEMEION_SIDE, _SEMEION_SIDE)
            part = next(name for name, numbers in _SEMEION if number in numbers)
            label = str(bits[_SEMEION_SIDE**2 :].argmax())
            yield Picture(part, label, f"{number:04d}.png", _png(255 - 255 * pixels))


def printed(source: pathlib.Path = SOURCE) -> Iterator[Picture]:
    """Yield the pictures of printed.zip."""
    for path, content in _members(source / "printed.zip"):
        label = path.parent.name
        yield Picture("validation", UNREADABLE if label == "0" else label, path.name, content)


def optdigits(source: pathlib.Path = SOURCE) -> Iterator[Picture]:
    """Yield scikit-learn's 8 x 8 digits, light ink on black."""
    del source
    # Imported here: scikit-learn is no dependency of the other sets.
    from sklearn.datasets import load_digits

    data = load_digits()
    for number, (values, label) in enumerate(zip(data.images, data.target, strict=True)):
        pixels = np.rint(values * (255 / _OPTDIGITS_INK)).astype(np.uint8)
        yield Picture("validation", str(label), f"{number:04d}.png", _png(pixels))


CREDITS: Final = {
    "bhmsds": ("bhmsds, handwritten symbols", "MIT", "wblachowski, https://github.com/wblachowski/bhmsds"),
    "semeion": (
        "Semeion Handwritten Digit",
        "CC BY 4.0",
        "Massimo Buscema, Semeion Research Center, Rome, https://doi.org/10.24432/C5SC8V",
    ),
}
"""Name, license and credit of the sets that may be trained on, which a model's card states."""

SETS: Final = {"bhmsds": bhmsds, "semeion": semeion, "printed": printed, "optdigits": optdigits}


def write(folder: pathlib.Path, source: pathlib.Path = SOURCE) -> None:
    """Write all sets below a folder that does not exist yet."""
    folder.mkdir(parents=True)
    for name, pictures in SETS.items():
        for picture in pictures(source):
            path = folder / name / picture.part / picture.label / picture.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture.content)
        for part in (folder / name).iterdir() if name in CREDITS else ():
            (part / CREDIT_FILE).write_text("\n".join(CREDITS[name]) + "\n", encoding="utf-8")


def _members(archive: pathlib.Path) -> Iterator[tuple[pathlib.PurePosixPath, bytes]]:
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(opened.namelist()):
            path = pathlib.PurePosixPath(name)
            if path.suffix in (".png", ".jpg", ".jpeg"):
                yield path, opened.read(name)


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def main() -> None:
    """Write the sets as the command line says."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("folder", type=pathlib.Path, help="a new folder")
    parser.add_argument("--source", type=pathlib.Path, default=SOURCE, help="where the sets' own files are")
    options = parser.parse_args()
    write(options.folder, options.source)
    for name in SETS:
        for part in sorted(path.name for path in (options.folder / name).iterdir()):
            images = sum(
                1
                for path in (options.folder / name / part).rglob("*")
                if path.is_file() and path.name != CREDIT_FILE
            )
            print(f"{name}/{part}: {images:,} images")


if __name__ == "__main__":
    main()
