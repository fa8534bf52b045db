"""The recipes, by name: each is one flat file, whose docstring gives source, command, time and accuracy.

To add one, copy a file and add its name to `trainer.recipe_names`. `trainer.recipes.parts` has the building
blocks.
"""

import ast
import difflib
import importlib
import importlib.resources
import re
from typing import TYPE_CHECKING

from schemas.errors import UserError
from trainer.recipe_names import NAMES

if TYPE_CHECKING:
    from trainer.recipes.parts.recipe import Recipe

__all__ = ["NAMES", "check", "facts", "load", "summary"]


def check(name: str) -> None:
    """Raise UserError, with the nearest name, if there is no such recipe."""
    if name in NAMES:
        return
    close = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {close[0]}?" if close else "see `digitmill recipes`"
    raise UserError("unknown recipe", value=name, hint=hint)


def summary(name: str) -> str:
    """Return the first line of a recipe's docstring without importing Keras."""
    docstring = ast.get_docstring(ast.parse(_source(name))) or ""
    return docstring.partition("\n")[0].rstrip(".")


def facts(name: str) -> dict[str, str]:
    """Return accuracy on MNIST's test set, parameters, training time and summary, as its file says."""
    source = _source(name)
    tree = ast.parse(source)
    text = ast.get_docstring(tree) or ""
    model = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "model")
    return {
        "accuracy": _first(r"^Accuracy: ([\d.]+ %(?: ± [\d.]+)?)", text),
        "parameters": _first(r"([\d,]+) parameters", ast.get_docstring(model) or ""),
        "time": _first(r"^Time: (?:about )?(.+? s) of training", text),
        "summary": re.sub(r": [\d,]+ parameters$", "", summary(name)),
    }


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""


def load(name: str) -> "Recipe":
    """Return a recipe, importing Keras; raise UserError if there is no such recipe."""
    check(name)
    return importlib.import_module(f"{__name__}.{_file_name(name)}").RECIPE


def _source(name: str) -> str:
    files = importlib.resources.files(__name__)
    return files.joinpath(f"{_file_name(name)}.py").read_text(encoding="utf-8")


def _file_name(name: str) -> str:
    return name.replace("-", "_")
