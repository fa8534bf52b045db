"""A table of texts, for a terminal and for Markdown."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Table:
    """A titled table.

    Attributes:
        title: a line above it.
        header: names of the columns; the first is of words, the others of numbers.
        rows: as many texts each as the header has.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_text(self) -> str:
        """Returns the table in columns of spaces, numbers to the right."""
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join([self.title, *("  ".join(_aligned(line, widths)).rstrip() for line in lines)])

    def to_markdown(self) -> str:
        """Returns the table as Markdown."""
        rule = ["---", *["--:"] * (len(self.header) - 1)]
        lines = [self.header, rule, *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"**{self.title}**\n\n{table}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
