"""Folders of real digits, as users have them."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest


def write_digits(
    folder: pathlib.Path, digits: np.ndarray, labels: np.ndarray, png_of: Callable
) -> pathlib.Path:
    for number, (digit, label) in enumerate(zip(digits, labels, strict=True)):
        target = folder / str(label) / f"{number:05d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png_of(digit))
    return folder


@pytest.fixture(scope="session")
def digit_folder(
    tmp_path_factory: pytest.TempPathFactory, digits: np.ndarray, labels: np.ndarray, png_of: Callable
) -> pathlib.Path:
    """500 real digits as LABEL/NUMBER.png."""
    return write_digits(tmp_path_factory.mktemp("digits"), digits, labels, png_of)
