"""Fails where a text uses a phrase that readers stumble over; the spelling of words is codespell's.

Usage: python -m tests.vocabulary [FILE]...
"""

import pathlib
import re
import subprocess
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
_FILES: Final = ("*.md", "*.py")
_ELSEWHERE: Final = ("tests/", "benchmarks/", "deploy/")


def find_phrases(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the phrase and what to write instead of each phrase in a text."""
    for number, line in enumerate(text.splitlines(), start=1):
        for found in _PHRASE.finditer(line):
            instead = next(
                better for phrase, better in PHRASES.items() if re.fullmatch(phrase, found[1], re.IGNORECASE)
            )
            yield number, found[1], instead


def _files() -> list[str]:
    done = subprocess.run(["git", "ls-files", *_FILES], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if not name.startswith(_ELSEWHERE)]


def main(names: list[str]) -> int:
    """Print each phrase that a file should not have; return the exit code."""
    findings = [
        f"{name}:{line}: {phrase!r}: write {instead}"
        for name in names or _files()
        for line, phrase, instead in find_phrases(pathlib.Path(name).read_text(encoding="utf-8"))
    ]
    print(*findings, sep="\n", end="\n" if findings else "")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
