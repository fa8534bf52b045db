"""Shell commands in the run report: what to do with a finished run."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from digitmill.commands.options import command_line
from schemas.manifest import Manifest

_VALUES: Final = ("--output", "--since", "--state", "--limit", "--sample")
_SWITCHES: Final = ("--resume", "--retry-failures")


def commands(manifest: Manifest) -> dict[str, str]:
    """Return the commands by title; empty for runs of versions that did not record their command.

    Each command first changes to the folder in which the run was started, so that relative paths work.
    """
    # Names with line breaks are written as $'...', which `shlex` cannot parse.
    words = [] if "$'" in manifest.command else shlex.split(manifest.command)
    output = _value(words, "--output")
    if not output:
        return {"Repeat this run": manifest.command} if manifest.command else {}
    return {title: _in_folder(manifest, command) for title, command in _named(manifest, words, output)}


def _named(manifest: Manifest, words: Sequence[str], output: str) -> Iterator[tuple[str, str]]:
    verb, *given = words[1:]
    place = output.rstrip("/")
    yield (
        "Score it again, into a new output" if verb == "score" else "Repeat it, into a new output",
        (command_line(verb, *_without(given, ("--output",), ("--resume",)), "--output", f"{place}-again")),
    )
    if verb == "score":
        rest = [*_without(given, _VALUES, _SWITCHES)]
        since = ("--since", place, "--output")
        yield "Score what is new since this run", command_line(verb, *rest, *since, f"{place}-next")
        if manifest.counts.failed:
            retried = command_line(verb, *rest, "--retry-failures", *since, f"{place}-retried")
            yield "Score what failed once more", retried
    if has_review(manifest):
        yield "Label what is for review", command_line("review", place)
    yield "Check every file of the output", command_line("verify", place)


def has_review(manifest: Manifest) -> bool:
    """Whether `digitmill review` has anything to show: images for review, fields, or an audit."""
    impossible = manifest.fields is not None and manifest.fields.invalid > 0
    return manifest.counts.scored > manifest.accepted or impossible or bool(manifest.options.get("audit"))


def _in_folder(manifest: Manifest, command: str) -> str:
    folder = manifest.launched.get("folder", "")
    return f"cd {shlex.quote(folder)} &&\n{command}" if folder else command


def _value(words: Sequence[str], flag: str) -> str:
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return ""


def _without(words: Sequence[str], values: Sequence[str], switches: Sequence[str]) -> Iterator[str]:
    """Yield the words without the given flags: `values` are followed by a value, `switches` are not."""
    rest = iter(words)
    for word in rest:
        if word in values:
            next(rest, None)
        elif word not in switches and re.split("=", word, maxsplit=1)[0] not in values:
            yield word
