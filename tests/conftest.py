"""What the rooms' tests share: a bundle trained by the real job, and real digits."""

import pathlib
import signal
from collections.abc import Callable

import cv2
import hypothesis
import numpy as np
import pytest

from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine import LiteRtEngine
from schemas.model.bundle import LITERT_MODEL
from trainer.data.sources import embedded_sample

# How long examples take to draw depends on what else the machine does; no property is about that.
for profile, examples in (("fast", 30), ("thorough", 300)):
    hypothesis.settings.register_profile(
        profile,
        deadline=None,
        max_examples=examples,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile("fast")

pytest_plugins = [
    "tests.gcs_emulator",
    "tests.beam_engines",
    "tests.browser",
    "tests.digit_folders",
    "tests.other_stores",
    "tests.rest_stand_in",
    "tests.shared_data",
    "tests.trained",
]


NEEDS = {
    "azure_endpoint": "emulator",
    "gcs_port": "emulator",
    "prism": "emulator",
    "shared_data": "shared",
    "axe": "browser",
    "chromium": "browser",
}
"""Fixtures that need more than Python, and the mark of the tests that use them."""


def pytest_configure() -> None:
    # Background jobs and many CI runners start us with SIGINT ignored, and our children would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    # A gzip header holds the time: ids made of it differ between pytest-xdist's workers, which refuse to run.
    return argname if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None


@pytest.hookimpl(tryfirst=True)  # before marks are selected by -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in {NEEDS[name] for name in getattr(item, "fixturenames", ()) if name in NEEDS}:
            item.add_marker(mark)


@pytest.fixture(scope="session")
def bundle_path(trained: Callable[[str], pathlib.Path]) -> pathlib.Path:
    """A bundle of a dense network, which is quick; nothing in it may be changed."""
    return trained("dense-128") / "bundle"


@pytest.fixture(scope="session")
def bundle(bundle_path: pathlib.Path) -> Bundle:
    return open_bundle(bundle_path)


@pytest.fixture(scope="session")
def engine(bundle: Bundle) -> LiteRtEngine:
    # The float model: which of the two is the default depends on how the training went.
    return LiteRtEngine((pathlib.Path(bundle.place) / LITERT_MODEL).read_bytes())


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """uint8[500, 28, 28]: the sample's test split."""
    return embedded_sample.digits().test.images


@pytest.fixture(scope="session")
def labels() -> np.ndarray:
    """The labels of `digits`."""
    return embedded_sample.digits().test.labels


@pytest.fixture(scope="session")
def png_of() -> object:
    """Return the bytes of a picture as a PNG."""
    return lambda pixels: cv2.imencode(".png", pixels)[1].tobytes()
