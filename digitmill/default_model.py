"""Path of the model that comes with digitmill. `make model` puts it there."""

import pathlib
from typing import Final

SHIPPED_MODEL: Final = pathlib.Path(__file__).parent / "model"
"""A bundle folder: the default of `score --model` and `evaluate --model`."""

SHIPPED: Final = "shipped"
"""The word for it where a bundle is named; a folder of that name is `./shipped`."""


def bundle_place(given: str) -> str:
    """Return the place of a bundle, also that of the bundle that comes with digitmill."""
    return str(SHIPPED_MODEL) if given == SHIPPED else given
