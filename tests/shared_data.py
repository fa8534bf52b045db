"""Public data that may lie beside the checkout; only the tests marked `shared` use it."""

import pathlib

import pytest

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of that data."""
    if not SHARED.is_dir():
        pytest.skip(f"there is no {SHARED}")
    return SHARED
