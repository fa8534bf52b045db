"""The recipes, by name: each is one flat file, whose docstring gives source, command, time and accuracy.

To add one, copy a file and add its name to `trainer.recipe_names`. `trainer.recipes.parts` has the building
blocks.
"""

import ast
import difflib
import importlib
import importlib.resources
from typing import TYPE_CHECKING

from schemas.errors import UserError
from trainer.recipe_names import NAMES

if TYPE_CHECKING:
    from trainer.recipes.parts.recipe import Recipe

__all__ = ["NAMES", "check", "load", "summary"]


def check(name: str) -> None:
    """Raise UserError, with the nearest name, if there is no such recipe."""
    if name in NAMES:
        return
    close = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {close[0]}?" if close else "see `digitmill recipes`"
    raise UserError("unknown recipe", value=name, hint=hint)


def summary(name: str) -> str:
    """Return the first line of a recipe's docstring without importing Keras."""
    source = (
        importlib.resources.files(__name__).joinpath(f"{_file_name(name)}.py").read_text(encoding="utf-8")
    )
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return docstring.partition("\n")[0].rstrip(".")


def load(name: str) -> "Recipe":
    """Return a recipe, importing Keras; raise UserError if there is no such recipe."""
    check(name)
    return importlib.import_module(f"{__name__}.{_file_name(name)}").RECIPE


def _file_name(name: str) -> str:
    return name.replace("-", "_")
