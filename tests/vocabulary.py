"""Fails where a text uses a phrase that readers stumble over; the spelling of words is codespell's.

Usage: python -m tests.vocabulary [FILE]...
"""

import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Final

PHRASES: Final = {
    r"anew": "again",
    r"as ever": "as before",
    r"(?:is|are|was|were) (?:told|said)": "the active voice: who says what to whom",
    r"com(?:e|es|ing) along": "comes with",
    r"gets? by": "is enough",
    r"go(?:es|ne|ing)? on with": "continue",
    r"misspelt": "misspelled",
    r"one a (?:core|member|sub-folder|worker|process)": "one per core",
    r"one's own": "your own, or its own",
    r"such ones": "the noun again",
    r"whoever": "anyone who, or the noun",
}
"""Regular expressions of phrases, and what to write instead."""

_PHRASE: Final = re.compile(rf"\b({'|'.join(PHRASES)})\b", re.IGNORECASE)
_FOLDERS: Final = ("digitmill", "docs", "examples", "pipelines", "schemas", "trainer")
_GENERATED: Final = "docs/reference"


def find_phrases(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the phrase and what to write instead of each phrase in a text."""
    for number, line in enumerate(text.splitlines(), start=1):
        for found in _PHRASE.finditer(line):
            instead = next(
                better for phrase, better in PHRASES.items() if re.fullmatch(phrase, found[1], re.IGNORECASE)
            )
            yield number, found[1], instead


def list_files(root: pathlib.Path) -> list[pathlib.Path]:
    """Return what users read in a checkout: pages, and sources with their docstrings and messages.

    A checkout need not be a repository: git is not asked.
    """
    inside = (
        path for folder in _FOLDERS for path in (root / folder).rglob("*") if path.suffix in {".md", ".py"}
    )
    return sorted(
        path for path in (*root.glob("*.md"), *inside) if not path.is_relative_to(root / _GENERATED)
    )


def main(names: list[str]) -> int:
    """Print each phrase that a file should not have; return the exit code."""
    findings = [
        f"{name}:{line}: {phrase!r}: write {instead}"
        for name in names or list_files(pathlib.Path())
        for line, phrase, instead in find_phrases(pathlib.Path(name).read_text(encoding="utf-8"))
    ]
    print(*findings, sep="\n", end="\n" if findings else "")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
