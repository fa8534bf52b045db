"""Path of the model that comes with digitmill. `make model` puts it there."""

import pathlib
from typing import Final

SHIPPED_MODEL: Final = pathlib.Path(__file__).parent / "model"
"""A bundle folder: the default of `score --model` and `evaluate --model`."""

SHIPPED: Final = "shipped"
"""Name that stands for the bundle that comes with digitmill; write `./shipped` for a folder of that name."""


def bundle_place(given: str) -> str:
    """Return the location of a bundle, resolving the name of the one that comes with digitmill."""
    return str(SHIPPED_MODEL) if given == SHIPPED else given
