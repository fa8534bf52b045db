"""The recipes by name. A recipe is one flat file; its docstring says what it is and what it reaches."""

import ast
import difflib
import importlib
import importlib.resources
from typing import TYPE_CHECKING, Final

from schemas.errors import UserError

if TYPE_CHECKING:
    from trainer.recipes.parts.recipe import Recipe

NAMES: Final = (
    "dense-300-100",
    "dense-256-128",
    "cnn",
    "dense-128",
    "dense-512-256-128",
    "fast-99",
    "small-cnn",
    "strong-cnn",
    "strong-cnn-robust",
    "distilled",
)
"""What `--recipe` takes; the file is the name with underscores."""


def check(name: str) -> None:
    """Raises UserError, with what was probably meant, when there is no recipe of this name."""
    if name in NAMES:
        return
    close = difflib.get_close_matches(name, NAMES, n=1)
    remedy = f"did you mean {close[0]}?" if close else "see `digitmill recipes`"
    raise UserError(f"a recipe is one of {', '.join(NAMES)}", got=name, remedy=remedy)


def summary(name: str) -> str:
    """Returns the first line of a recipe's docstring, without importing the recipe or Keras."""
    source = (
        importlib.resources.files(__name__).joinpath(f"{_file_name(name)}.py").read_text(encoding="utf-8")
    )
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return docstring.partition("\n")[0].rstrip(".")


def load(name: str) -> "Recipe":
    """Imports a recipe's file, and Keras with it, and returns the recipe.

    Raises:
        UserError: when there is no recipe of this name.
    """
    check(name)
    return importlib.import_module(f"{__name__}.{_file_name(name)}").RECIPE


def _file_name(name: str) -> str:
    return name.replace("-", "_")
