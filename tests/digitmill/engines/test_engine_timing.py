import dataclasses
import itertools
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines import engine_timing
from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_choice import EngineChoice, EngineKind
from digitmill.engines.engine_timing import fastest, is_worth_comparing
from schemas.errors import UserError
from schemas.model.bundle import LITERT_INT8_MODEL


@pytest.fixture
def opened() -> Bundle:
    """The shipped bundle, whose default is the 8-bit model, by LiteRT."""
    bundle = open_bundle(SHIPPED_MODEL)
    card = dataclasses.replace(bundle.card, litert_model=LITERT_INT8_MODEL)
    return dataclasses.replace(bundle, card=card, engine=EngineChoice(EngineKind.LITERT_INT8, "no GPU"))


def clock(*milliseconds: float) -> Callable[[], float]:
    """Return a clock by which the engines take these times in turn, over and over."""
    ends = itertools.accumulate(itertools.cycle(step for each in milliseconds for step in (0, each / 1e3)))
    return lambda: next(ends)


@pytest.mark.parametrize(
    ("default", "openvino", "float32", "chosen"),
    [
        (256, 128, 200, "openvino_int8"),
        (256, 230, 100, "litert"),
        (256, 230, 240, "litert_int8"),
        (9, 9, 9, "litert_int8"),
    ],
)
def test_what_is_clearly_faster_is_chosen(
    opened: Bundle, default: float, openvino: float, float32: float, chosen: str
) -> None:
    assert fastest(opened, clock=clock(default, openvino, float32)).engine.kind == chosen


def test_the_fastest_answers_as_the_default(opened: Bundle, digits: np.ndarray) -> None:
    found = fastest(opened, clock=clock(25.6, 5.12, 256))
    assert found.engine.reason == "the fastest of those installed, when the run began"
    before, after = (each.load().probabilities(digits) for each in (opened, found))
    np.testing.assert_allclose(after, before, atol=0.05)


def test_a_default_that_is_fastest_keeps_its_reason(opened: Bundle) -> None:
    assert fastest(opened, clock=clock(1, 2, 3)) is opened


@pytest.mark.parametrize(("images", "chosen"), [(9_000, "litert_int8"), (60_000, "openvino_int8")])
def test_engines_are_compared_if_there_is_enough_to_save(opened: Bundle, images: int, chosen: str) -> None:
    # 100 us an image: 0.9 s and 6 s. The default is timed twice, once for that.
    times = clock(25.6, 25.6, 10, 30, 25.6)
    worth = is_worth_comparing(opened, images=images, clock=times)
    assert (fastest(opened, clock=times) if worth else opened).engine.kind == chosen


def test_an_engine_that_is_far_behind_is_timed_once(opened: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    times, taken = iter([0, 256, 0, 10, 0, 30, 0, 9, 0, 9]), []

    def read() -> float:
        taken.append(next(times))
        return taken[-1]

    assert fastest(opened, clock=read).engine.kind == "openvino_int8"
    # Three engines once, and the fastest twice more.
    assert len(taken) == 2 * (3 + 2)


def test_an_engine_that_cannot_run_here_is_left_out(opened: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine_timing.loaded

    def broken(bundle: Bundle) -> object:
        if bundle.engine.library == "openvino":
            raise UserError("damaged model bundle", value="", hint="")
        return real(bundle)

    monkeypatch.setattr(engine_timing, "loaded", broken)
    assert fastest(opened, clock=clock(25.6, 2.56)).engine.kind == "litert"


def test_a_gpus_engine_is_not_compared(bundle_path: pathlib.Path) -> None:
    opened = open_bundle(bundle_path, "saved_model")
    assert fastest(opened) is opened
