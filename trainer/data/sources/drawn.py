"""`--data fonts:…` and `not-digits:…`: images drawn from fonts, the same for the same value and fonts."""

import contextlib
import dataclasses
import functools
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from digitmill.imaging.batch import DigitBatch, canonical_batch
from schemas.digit import CLASSES, NOT_A_DIGIT
from schemas.errors import UserError
from schemas.model.data_source import DataSource
from trainer.data.drawing.font_families import Design, find_designs
from trainer.data.drawing.ink import draw_text
from trainer.data.drawing.not_digits import KINDS, Material, draw_not_digit, is_upright_stroke
from trainer.data.drawing.photographs import photograph
from trainer.data.reading import ALONE, Decode, DecodedBatch, ReadOptions, ReadPlan, Shard, Workers, read
from trainer.data.sources import embedded_sample
from trainer.data.sources.folder import check_split_coverage
from trainer.data.splits import PARTS, Digits

_VERSION: Final = 1
"""Changes whenever the images of a value do."""

_CHUNK: Final = 256
_HELD_OUT: Final = 10
"""One image each of validation and test for so many training images."""

_TRIES: Final = 20
"""How often an image is drawn that preprocessing finds blank, or that is no digit and looks like 1."""

_CAP: Final = 0.72
"""Height of most fonts' digits, in ems."""

_COUNT: Final = re.compile(r"[1-9][0-9]{2,}")
"""From 100 images on: smaller numbers are names."""


class _Chunk(NamedTuple):
    """Some images of a source, by their positions."""

    positions: np.ndarray
    parts: np.ndarray


Draw = Callable[[int, Material, np.random.Generator], tuple[int, np.ndarray]]
"""From an image's number in its split, what it is made from and a generator to its label and picture."""


class Wanted(NamedTuple):
    """The parsed part of a `--data` value after its colon: places of fonts, and number of images, or None."""

    places: tuple[str, ...]
    images: int | None


def parse(rest: str) -> Wanted:
    """Parse the text after the colon, split at commas.

    Raises:
        UserError: if there are two numbers.
    """
    given = [item.strip() for item in rest.split(",") if item.strip()]
    counts = [item for item in given if _COUNT.fullmatch(item)]
    if len(counts) > 1:
        raise UserError("--data has two numbers of images", value=rest, hint="give one of them")
    return Wanted(tuple(item for item in given if item not in counts), int(counts[0]) if counts else None)


class _DrawnSource:
    """Images that are drawn: 80, 10 and 10 % of the designs are for training, validation and test.

    Args:
        rest: of the `--data` value: names of families, folders of font files and the number of training
            images, with commas between them; each may be missing.
    """

    kind: str
    images: int
    """Training images where the value says no number."""

    made_of: str
    license = ""
    credit = ""
    """Of what is not drawn from fonts."""

    draw: Draw

    def __init__(self, rest: str, reading: ReadOptions | None = None) -> None:
        self.name = f"{self.kind}:{rest}"
        self._reading = reading or ReadOptions()
        self._places, images = parse(rest)
        self._images = images or self.images

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Draw the images; the splits' shares are fixed, so `validation_fraction` is ignored."""
        del validation_fraction
        designs = find_designs(self._places)
        self._check_same(designs, workers)
        materials = _materials(designs)
        counts = [
            self._images if part == PARTS[0] else self._images // _HELD_OUT * bool(designs[part])
            for part in PARTS
        ]
        plan = ReadPlan(
            self.name,
            sum(counts),
            made_from=[_VERSION, self.kind, counts, _digest(designs)],
            chunks=functools.partial(_chunks, counts),
            decoder=functools.partial(_decoder, draw=self.draw, materials=materials),
            description=_description(designs, counts),
        )
        digits = read(plan, reading=self._reading, workers=workers)
        return self._checked(dataclasses.replace(digits, origins=(self._described(digits, designs),)))

    def _described(self, digits: Digits, designs: Mapping[str, Sequence[Design]]) -> DataSource:
        fonts = {part: [font for design in found for font in design] for part, found in designs.items()}
        licenses = {font.license for found in fonts.values() for font in found}
        return dataclasses.replace(
            digits.described()[0],
            name=self.made_of,
            license="; ".join(sorted({self.license, *licenses} - {""})),
            credit="; ".join(filter(None, (self.credit, "the fonts' designers"))),
            families={part: tuple(sorted({font.family for font in found})) for part, found in fonts.items()},
        )

    def _check_same(self, designs: Mapping[str, Sequence[Design]], workers: Workers) -> None:
        own = _digest(designs)
        if workers.from_chief(own.encode) != own.encode():
            raise UserError(
                "this machine's fonts differ from the chief's",
                value=self.name,
                hint="install the same fonts on all machines, or name a folder that all have",
            )

    def _checked(self, digits: Digits) -> Digits:
        return digits


class FontsSource(_DrawnSource):
    """Digits of fonts, blurred and degraded as by cameras, scanners and screens."""

    kind, images = "fonts", 60_000
    made_of = "digits of fonts"

    @staticmethod
    def draw(number: int, material: Material, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Return a digit; all ten are equally frequent."""
        label = number % CLASSES
        size = round(math.exp(math.log(8) * (1 + rng.random() ** 0.7)))
        # Drawn at its size, as on screens; larger, as in print; or smaller, as from fax and meters.
        drawn = size * rng.choice((1, rng.uniform(1.5, 3), rng.uniform(0.5, 1)), p=(0.35, 0.5, 0.15))
        ink = draw_text(material.font(rng).path, str(label), size=max(8, round(drawn / _CAP)))
        return label, photograph(ink, size, rng)

    def _checked(self, digits: Digits) -> Digits:
        if self._reading.complete:
            check_split_coverage(digits)
        return digits


class NotDigitsSource(_DrawnSource):
    """Pictures that are no single digit, of eight kinds, each as frequent as any other."""

    kind, images = "not-digits", 20_000
    made_of = "letters, symbols and digits of fonts, and digits of MNIST"
    license, credit = embedded_sample.LICENSE, embedded_sample.CREDIT

    def __init__(self, rest: str, reading: ReadOptions | None = None) -> None:
        super().__init__(rest, reading)
        if self._reading.complete:
            raise UserError(
                "not-digits: has no digits to train on", value=self.name, hint="add another --data"
            )

    @staticmethod
    def draw(number: int, material: Material, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Return a picture; the kinds take turns."""
        return NOT_A_DIGIT, draw_not_digit(list(KINDS)[number % len(KINDS)], material, rng)


def _materials(designs: Mapping[str, Sequence[Design]]) -> dict[str, Material]:
    handwritten = embedded_sample.digits().splits()
    return {part: Material(designs[part], handwritten[part].images) for part in PARTS}


def _digest(designs: Mapping[str, Sequence[Design]]) -> str:
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(repr([[font.sha256 for font in design] for design in designs[part]]).encode())
    return digest.hexdigest()


def _description(designs: Mapping[str, Sequence[Design]], counts: Sequence[int]) -> str:
    found = ", ".join(f"{len(designs[part])} for {part}" for part in PARTS)
    return f"{sum(counts):,} images, drawn with designs of fonts: {found}"


def _chunks(counts: Sequence[int], shard: Shard) -> Iterator[_Chunk]:
    parts = np.repeat(np.arange(len(PARTS), dtype=np.uint8), counts)
    positions = np.arange(shard[0], len(parts), shard[1])
    for start in range(0, len(positions), _CHUNK):
        some = positions[start : start + _CHUNK]
        yield _Chunk(some, parts[some])


@contextlib.contextmanager
def _decoder(processes: int, *, draw: Draw, materials: Mapping[str, Material]) -> Iterator[Decode]:
    del processes
    yield functools.partial(_drawn, draw=draw, materials=materials)


def _drawn(chunk: _Chunk, *, draw: Draw, materials: Mapping[str, Material]) -> DecodedBatch:
    labels, digits, errors = [], [], []
    for position, part in zip(chunk.positions.tolist(), chunk.parts.tolist(), strict=True):
        rng = np.random.default_rng((_VERSION, position))
        for _ in range(_TRIES):
            label, picture = draw(position, materials[PARTS[part]], rng)
            batch = canonical_batch([picture])
            if batch.errors[0] is None and not (label == NOT_A_DIGIT and is_upright_stroke(batch.digits[0])):
                break
        labels.append(label)
        digits.append(batch.digits[0])
        errors.append(batch.errors[0])
    names = [f"{PARTS[part]}[{position}]" for position, part in zip(*chunk, strict=True)]
    return DecodedBatch(
        chunk.positions, names, np.array(labels, np.int64), DigitBatch(np.array(digits), errors), chunk.parts
    )
