"""The file that repeats a run: `--config` reads it, and a run writes it into its output.

One section per verb, with the verb's flags by name:

    score:
      input: [scans]
      model: run/bundle
"""

import difflib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import click
from click.core import ParameterSource

from schemas.errors import UserError

FILE: Final = "run.yaml"
"""Name of the file in an output."""

BEAM_FLAGS: Final = "beam_flags"
"""The argument of verbs that take Beam's flags too."""

_READ: Final = "digitmill.config"
"""Key of the click context under which the content of the file stands."""

_MOST_VALUES: Final = 100_000
"""Maximum number of values after expanding a file's aliases."""

_SECRET: Final = re.compile(
    r"secret|token|passw|credential|connection_string|access_key|api_?key|private_key|sas_|\bsign$",
    re.IGNORECASE,
)
_SECRET_VALUE: Final = re.compile(
    r"://[^/@\s]*:[^/@\s]*@|[?&](sig|X-Goog-Signature|X-Amz-Signature|token)=", re.I
)


def to_text(verb: str, settings: Mapping[str, object]) -> str:
    """Return the text of the file that repeats a run, from settings by flag name."""
    import yaml

    kept = {name: _plain(value) for name, value in settings.items()}
    hidden = _take_secrets(kept)
    lines = [f"# Repeats this run: digitmill {verb} --config {FILE} --output NEW"]
    if "since" in kept:
        lines.append(
            "# With `since` it scores only what no finished run has: remove that line to score all again."
        )
    lines += [f"# Left out, as it may be secret: {name}" for name in hidden]
    # In ASCII: allow_unicode loses line separators, and names that are not UTF-8 cannot be encoded.
    body = yaml.safe_dump({verb: kept}, sort_keys=False, width=1_000)
    return "\n".join([*lines, body])


def _plain(value: object) -> object:
    match value:
        case bool() | int() | float():
            return value
        case str():
            return str(value)
        case tuple() | list():
            return [_plain(each) for each in value]
        case os.PathLike():
            return os.fspath(value)
    raise TypeError(value)


def _take_secrets(kept: dict[str, Any]) -> list[str]:
    """Remove what looks like a secret, and return the names of what was removed."""
    hidden: list[str] = []
    for name, value in list(kept.items()):
        if isinstance(value, list):
            kept[name] = _without_secrets(value, hidden, name=name)
        elif _SECRET.search(name) or _SECRET_VALUE.search(str(value)):
            hidden.append(name)
            del kept[name]
    return hidden


def hide_secrets(words: Iterable[str]) -> Iterator[str]:
    """Yield the words of a command line, with `...` instead of values that may be secret."""
    follows = False
    for word in words:
        flag, has_value, _ = word.partition("=")
        secret = flag.startswith("--") and _SECRET.search(flag) is not None
        if secret:
            yield f"{flag}=..." if has_value else flag
        else:
            yield "..." if follows or _SECRET_VALUE.search(word) else word
        follows = secret and not has_value


def _without_secrets(values: Sequence[object], hidden: list[str], *, name: str) -> list[object]:
    left: list[object] = []
    follows = False
    for value in values:
        flag, has_value, _ = str(value).partition("=")
        if follows and not flag.startswith("--"):
            follows = False  # the value of the flag before it
        elif flag.startswith("--") and _SECRET.search(flag):
            hidden.append(flag)
            follows = not has_value
        elif _SECRET_VALUE.search(str(value)):
            hidden.append(name)
        else:
            left.append(value)
            follows = False
    return left


def load(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    """Take the verb's defaults from a section of the file; the callback of `--config`.

    Raises:
        UserError: when the file cannot be read, has no section for the verb, or names an unknown flag.
    """
    del param
    if path is None:
        return
    verb = str(ctx.info_name)
    params = _by_name(ctx.command.params)
    found = {}
    for name, value in _section(path, verb).items():
        known = params.get(str(name).replace("_", "-"))
        if known is None:
            raise UserError(
                f"--config names a flag that digitmill {verb} does not have",
                value=name,
                hint=_suggestion(name, params),
            )
        found[str(known.name)] = _as_given(known, name, value)
    ctx.default_map = {**(ctx.default_map or {}), **found}
    ctx.meta[_READ] = found


def join_beam_flags(ctx: click.Context) -> None:
    """Put the file's Beam flags before those of the command line: Beam uses the last of two."""
    given = ctx.params.get(BEAM_FLAGS)
    if given and ctx.get_parameter_source(BEAM_FLAGS) is ParameterSource.COMMANDLINE:
        ctx.params[BEAM_FLAGS] = (*ctx.meta.get(_READ, {}).get(BEAM_FLAGS, ()), *given)


def _by_name(params: Iterable[click.Parameter]) -> dict[str, click.Parameter]:
    """Return the parameters that a file may set: flags by their long names, arguments by their own."""
    named = {}
    for param in params:
        spelled = [flag[2:] for flag in param.opts if flag.startswith("--")] or [str(param.name)]
        if param.expose_value:
            named.update({name.replace("_", "-"): param for name in spelled})
    return named


def _section(path: str, verb: str) -> Mapping[object, object]:
    import yaml

    try:
        whole = _load_plain(_read(path).decode())
    except OSError as error:
        from digitmill.storage.names import path_hint

        problem = f"cannot read the --config file ({error.strerror})"
        raise UserError(problem, value=path, hint=path_hint(path, "give another file")) from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(
            "the --config file is not valid YAML", value=path, hint=f"correct it: {error}"
        ) from error
    except RecursionError as error:
        raise UserError(
            "the --config file is nested too deeply", value=path, hint="write flags and their values only"
        ) from error
    section = whole.get(verb) if isinstance(whole, dict) else None
    if not isinstance(section, dict):
        sections = ", ".join(map(str, whole)) if isinstance(whole, dict) else "none"
        raise UserError(
            f"--config has no section {verb!r}",
            value=path,
            hint=f"write `{verb}:` and the flags below it, indented. Its sections are: {sections}",
        )
    return section


def _read(path: str) -> bytes:
    # Of the storage layer only for what is in a bucket: the rest of a command does not need it.
    if "://" not in path:
        with open(path, "rb") as file:
            return file.read()
    from digitmill.storage import read_place

    return read_place(path)


def _load_plain(text: str) -> object:
    """Return what YAML holds, by the safe loader, unless its aliases stand for far more than is written.

    Raises:
        ValueError: when they do, or when a value is none of its kind.
        yaml.YAMLError, RecursionError: when it cannot be read.
    """
    import yaml

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        """Return the number of values that a node stands for, once aliases are replaced."""
        if id(node) not in sizes:
            sizes[id(node)] = _MOST_VALUES + 1  # of one that contains itself
            inner = itertools.chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else ()
            inner = node.value if isinstance(node, yaml.SequenceNode) else inner
            sizes[id(node)] = 1 + sum(map(size, inner))
        return sizes[id(node)]

    if root is not None and size(root) > max(_MOST_VALUES, len(text)):
        raise ValueError("its aliases stand for too many values")
    return yaml.safe_load(text)


def _suggestion(name: object, known: Mapping[str, click.Parameter]) -> str:
    close = difflib.get_close_matches(str(name).replace("_", "-"), known, n=2)
    return f"Did you mean {' or '.join(close)}?" if close else f"It may name: {', '.join(sorted(known))}."


def _as_given(param: click.Parameter, name: object, value: object) -> object:
    """Return a value as the command line would give it."""
    several = param.multiple or param.nargs != 1
    values = value if isinstance(value, list) and several else [value]
    is_flag = isinstance(param, click.Option) and param.is_flag
    for each in values:
        # YAML reads a bare `on` or `no` as a truth, and an empty value as null.
        if not isinstance(each, bool if is_flag else str | int | float) or isinstance(each, bool) != is_flag:
            wanted = "true or false" if is_flag else "text or a number"
            raise UserError(f"{name} in --config is not {wanted}", value=each, hint="write text in quotes")
    # As text: a number with a fraction would pass for a whole one.
    taken = values if is_flag else [*map(str, values)]
    return taken if several else taken[0]
