"""The reference of the Python API, made from its signatures and docstrings."""

import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import digitmill

_SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields")


def api_page() -> str:
    """Return the page of everything that `import digitmill` offers."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    yield from ("# Python API", "", "What `import digitmill` offers; [how to use it](../python.md).", "")
    for home, names in digitmill._HOMES.items():
        module = importlib.import_module(home)
        for name in names:
            yield from _entry(getattr(module, name), f"digitmill.{name}", level=2)


def _entry(found: Any, name: str, *, level: int) -> Iterator[str]:
    """Yield the section of a function or a class, and of a class its own methods."""
    yield from (f"{'#' * level} `{name}`", "")
    if not (inspect.isclass(found) and issubclass(found, Exception)):
        lines = map(_readable, _signature(found, name.removeprefix("digitmill.")))
        yield from ("```python", *lines, "```", "")
    yield from _prose(inspect.getdoc(found) or "")
    if inspect.isclass(found):
        for own, member in vars(found).items():
            if not own.startswith("_") and (is_property := isinstance(member, property)) | callable(member):
                if is_property:
                    doc = " ".join((inspect.getdoc(member) or "").split())
                    yield from (f"{'#' * (level + 1)} `{name.rpartition('.')[2]}.{own}`", "", _text(doc), "")
                else:
                    yield from _entry(member, f"{name.rpartition('.')[2]}.{own}", level=level + 1)


def _signature(found: Callable, name: str) -> Iterator[str]:
    """Yield the call, one parameter a line where they do not fit on one."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return iter((name,))
    parameters = [
        each.replace(annotation=_Unquoted(each.annotation)) if isinstance(each.annotation, str) else each
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    returned: Any = signature.return_annotation
    if inspect.isclass(found) or returned is None:
        returned = inspect.Signature.empty
    elif isinstance(returned, str):
        returned = _Unquoted(returned)
    signature = signature.replace(parameters=parameters, return_annotation=returned)
    line = f"{name}{signature}"
    if len(line) <= 80:
        return iter((line,))
    _, _, end = str(signature).rpartition(")")
    own = [str(each) for each in parameters]
    for place, each in enumerate(parameters):
        if each.kind is inspect.Parameter.KEYWORD_ONLY and not any(
            before.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL)
            for before in parameters[:place]
        ):
            own.insert(place, "*")
    return iter((f"{name}(", *(f"    {each}," for each in own), f"){end}"))


class _Unquoted(str):
    """An annotation that is a string, which a signature would print with quotes."""

    def __repr__(self) -> str:
        return str(self)


def _readable(line: str) -> str:
    """Return a line of a signature without the modules of classes, and with values in place of enums."""
    return re.sub(r"<[\w.]+: ('[^']*'|\d+)>", r"\1", re.sub(r"(?:[a-z_]+\.)+(?=[A-Z])", "", line))


def _prose(doc: str) -> Iterator[str]:
    """Yield a docstring as Markdown: its sections as lists."""
    for block in re.split(r"\n\n+", doc):
        title, _, rest = block.partition(":\n")
        if title in _SECTIONS and rest:
            yield from (f"**{title}**", "", *_items(textwrap.dedent(rest)), "")
        elif block.startswith("    "):
            yield from ("```python", *textwrap.dedent(block).split("\n"), "```", "")
        else:
            yield from (_text(" ".join(block.split())), "")


def _items(text: str) -> Iterator[str]:
    """Yield list items of a section: indented lines continue the one before."""
    joined = re.sub(r"\n +", " ", text)
    for line in joined.split("\n"):
        name, colon, meaning = line.partition(": ")
        plain = colon and re.fullmatch(r"[\w*., `]+", name) and len(name) < 40
        yield f"- `{name.strip('`')}`: {_text(meaning)}" if plain else f"- {_text(line)}"


def _text(words: str) -> str:
    return words.replace("<", "&lt;").replace("*", "\\*")
