import itertools

import cv2
import numpy as np
import pytest

from digitmill.reports.charts.palette import DARK, LIGHT, SERIES, VARIABLES, blend, stylesheet

LETTERS, DRAWN = ("ink", "soft"), ("accent", "second", "third", "fail")


def linear_rgb(color: str) -> list[float]:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def luminance(color: str) -> float:
    """Relative luminance, as the Web Content Accessibility Guidelines 2.2 define it."""
    linear = linear_rgb(color)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_letters_and_drawings_stand_out(colors: dict[str, str]) -> None:
    for ground in ("paper", "card"):
        assert all(contrast(colors[role], colors[ground]) >= 4.5 for role in LETTERS)
        assert all(contrast(colors[role], colors[ground]) >= 3 for role in DRAWN)
    assert contrast(colors["accent"], colors["paper"]) >= 4.5


def as_seen(color: str, missing: str) -> tuple[float, ...]:
    """Linear RGB as someone without one kind of cone sees it, by Machado, Oliveira and Fernandes 2009."""
    rows = {
        "red": (
            (0.152286, 1.052583, -0.204868),
            (0.114503, 0.786281, 0.099216),
            (-0.003882, -0.048116, 1.051998),
        ),
        "green": (
            (0.367322, 0.860646, -0.227968),
            (0.280085, 0.672501, 0.047413),
            (-0.011820, 0.042940, 0.968881),
        ),
        "blue": (
            (1.255528, -0.076749, -0.178779),
            (-0.078411, 0.930809, 0.147602),
            (0.004733, 0.691367, 0.303900),
        ),
    }[missing]
    parts = linear_rgb(color)
    return tuple(sum(weight * part for weight, part in zip(row, parts, strict=True)) for row in rows)


def lab(linear: tuple[float, ...]) -> np.ndarray:
    pixel = np.clip(np.array([[linear]], np.float32), 0, 1)
    return cv2.cvtColor(pixel, cv2.COLOR_LRGB2Lab)[0, 0]


@pytest.mark.parametrize("missing", ["red", "green", "blue"])
@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_series_stay_apart_for_the_color_blind(colors: dict[str, str], missing: str) -> None:
    seen = {role: lab(as_seen(colors[role], missing)) for role in DRAWN}
    for one, other in itertools.combinations(DRAWN, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 18, (one, other)


def test_every_drawn_color_has_its_variable() -> None:
    assert len(VARIABLES) == len(LIGHT) == len(DARK)
    assert set(SERIES) <= set(VARIABLES)
    assert all(f"--{role}:" in stylesheet() for role in LIGHT)


def test_a_blend_lies_between_two_colors() -> None:
    assert blend("#000000", "#ff8002", 0) == "#000000"
    assert blend("#000000", "#ff8002", 1) == "#ff8002"
    assert blend("#000000", "#ff8002", 0.5) == "#804001"
