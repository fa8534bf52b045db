"""Damages files: flipped bits, cut and spliced parts, changed numbers."""

from collections.abc import Iterator, Sequence

import numpy as np


def mutants(files: Sequence[bytes], count: int, *, seed: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield `count` damaged files, each with the number of the file it was made from."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        which = number % len(files)
        data = files[which]
        damage = _DAMAGES[int(generator.integers(len(_DAMAGES)))]
        yield which, damage(bytearray(data), generator, files)


def _flipped(data: bytearray, generator: np.random.Generator, files: Sequence[bytes]) -> bytes:
    # Half of the flips hit the structure, which stands in front or at the end.
    for _ in range(generator.integers(1, 4)):
        reach = min(len(data), int(generator.choice([120, len(data)])))
        place = int(generator.integers(reach))
        data[place if generator.random() < 0.8 else -1 - place] ^= 1 << int(generator.integers(8))
    return bytes(data)


def _replaced(data: bytearray, generator: np.random.Generator, files: Sequence[bytes]) -> bytes:
    place = int(generator.integers(min(len(data), 400)))
    size = int(generator.choice([1, 2, 4]))
    values = [0, 1, 255, 2**15, 2**31, 2**32 - 1, int(generator.integers(2**32))]
    value = int(generator.choice(values)) % 2 ** (8 * size)
    data[place : place + size] = value.to_bytes(size, "little" if generator.random() < 0.5 else "big")
    return bytes(data)


def _cut(data: bytearray, generator: np.random.Generator, files: Sequence[bytes]) -> bytes:
    return bytes(data[: int(generator.integers(1, len(data)))])


def _without_a_part(data: bytearray, generator: np.random.Generator, files: Sequence[bytes]) -> bytes:
    start = int(generator.integers(len(data)))
    del data[start : start + int(generator.integers(1, 64))]
    return bytes(data)


def _with_a_part_twice(data: bytearray, generator: np.random.Generator, files: Sequence[bytes]) -> bytes:
    start, size = int(generator.integers(len(data))), int(generator.integers(1, 64))
    data[start:start] = data[start : start + size]
    return bytes(data)


def _spliced(data: bytearray, generator: np.random.Generator, files: Sequence[bytes]) -> bytes:
    other = files[int(generator.integers(len(files)))]
    start, size = int(generator.integers(len(data))), int(generator.integers(1, 200))
    source = int(generator.integers(len(other)))
    data[start : start + size] = other[source : source + size]
    return bytes(data)


def _zeroed(data: bytearray, generator: np.random.Generator, files: Sequence[bytes]) -> bytes:
    start, size = int(generator.integers(len(data))), int(generator.integers(1, 64))
    data[start : start + size] = bytes(len(data[start : start + size]))
    return bytes(data)


_DAMAGES = (
    _flipped,
    _flipped,
    _replaced,
    _replaced,
    _cut,
    _without_a_part,
    _with_a_part_twice,
    _spliced,
    _zeroed,
)
