"""Rejects misspelled flags at once, by reading the names of Beam's flags from its source without import."""

import functools
import importlib.util
import pathlib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from digitmill.commands.verb import close_flags, flags_of_verb
from schemas.errors import UserError

_DECLARED_IN: Final = (
    "options/pipeline_options.py",
    "runners/dask/dask_runner.py",
    "runners/render.py",
    "yaml/options.py",
)
"""Files of Beam's package in which flags are declared."""

_FLAG: Final = re.compile(r"""["'](--[\w-]+)["']""")


def check_flag_names(flags: Sequence[str]) -> None:
    """Reject unknown flags at once, instead of after seconds in `beam_options.beam_options`.

    Raises:
        UserError: for an unknown flag, or a word that belongs to no flag.
    """
    if not flags:
        return
    if not flags[0].startswith("-"):
        raise unexpected(flags[0], ())
    known, own = names_in_beam(), flags_of_verb()
    for word in flags:
        name = word.partition("=")[0]
        if word.startswith("--") and name not in known:
            raise unexpected(word, sorted(known))
        # Dataflow has --label, too: elsewhere it is a slip that would score without labels.
        if f"{name}s" in own and not any("Dataflow" in flag for flag in flags):
            raise unexpected(word, ())


def unexpected(word: str, known: Iterable[str]) -> UserError:
    """Return the error for a word that is an unknown flag, or belongs to no flag.

    Args:
        word: the word as given.
        known: names of Beam's flags to suggest, besides the verb's own.
    """
    if not word.startswith("-"):
        hint = "put inputs before the flags of Beam"
        return UserError("unexpected argument", value=word, hint=hint)
    close = close_flags(word.partition("=")[0], [*known, *flags_of_verb()], most=2)
    hint = f"did you mean {' or '.join(close)}?" if close else "see --help, and Beam's own flags"
    return UserError("unknown flag", value=word, hint=hint)


@functools.cache
def names_in_beam() -> Collection[str]:
    """Return all texts in Beam's source that look like flags: all of Beam's flags, and maybe more."""
    spec = importlib.util.find_spec("apache_beam")
    assert spec is not None
    assert spec.submodule_search_locations
    package = pathlib.Path(spec.submodule_search_locations[0])
    sources = ((package / name).read_text() for name in _DECLARED_IN)
    return frozenset(flag for text in sources for flag in _FLAG.findall(text))
