"""Path of the model that comes with digitmill. `make model` puts it there."""

import pathlib
from typing import Final

SHIPPED_MODEL: Final = pathlib.Path(__file__).parent / "model"
"""A bundle folder: the default of `score --model` and `evaluate --model`."""
