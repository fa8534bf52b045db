"""The reference, made from the code: verbs and their flags, files, columns, failure codes, exit codes."""

import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from digitmill import cli
from docs.api_pages import api_page
from schemas import labels, outputs, packed, prediction
from schemas.columns import Column
from schemas.errors import ExitCode
from schemas.failure import FailureCode
from schemas.outputs import OutputFile

FOLDER: Final = "reference"
"""Folder of the pages, beside the pages that people write; git ignores it."""

_OUTPUTS: Final = {
    "digitmill score and compact": outputs.SCORED,
    "digitmill pack": outputs.PACKED,
    "digitmill train": outputs.TRAINED,
    "digitmill tune": outputs.TUNED,
}

_WRITES: Final = {
    "score": "digitmill-score-and-compact",
    "compact": "digitmill-score-and-compact",
    "review": "digitmill-score-and-compact",
    "pack": "digitmill-pack",
    "train": "digitmill-train",
    "tune": "digitmill-tune",
}
"""Heading of the files that a verb writes."""

_TYPED: Final = {
    "Prediction: `predictions/part-*`": prediction.COLUMNS,
    "Packed image: `packed-*.tfrecord`": packed.COLUMNS,
}
"""Records of which the columns have types, because they are TFRecords too."""


def pages() -> Mapping[str, str]:
    """Return the text of each page by its name, without `.md`."""
    verbs = {f"verb-{name}": "\n".join(_verb(name)) for name in cli.VERBS}
    fixed = {
        "python-api": api_page(),
        "files": "\n".join(_files()),
        "columns": "\n".join(_columns()),
        "failure-codes": _table_page(
            "Failure codes",
            "Why an image has no prediction; each failure has exactly one of these.",
            ("code", "meaning"),
            [(f"`{code}`", code.meaning) for code in FailureCode],
        ),
        "exit-codes": _table_page(
            "Exit codes",
            "What every verb ends with.",
            ("code", "meaning"),
            [(str(code.value), code.meaning) for code in ExitCode],
        ),
    }
    return {"index": "\n".join(_index(list(verbs), list(fixed))), **verbs, **fixed}


def _index(verbs: Sequence[str], fixed: Sequence[str]) -> Iterator[str]:
    yield from ("# Reference", "", "Made from the code when this site is built.", "")
    yield from _table(("verb", "what it does"), [_linked(name) for name in verbs])
    yield from ("Of all verbs:", "", "```{toctree}", ":maxdepth: 1", "", *fixed, "```", "")
    yield from ("```{toctree}", ":hidden:", "", *verbs, "```", "")


def _linked(page: str) -> tuple[str, str]:
    verb = page.removeprefix("verb-")
    return f"[{verb}]({page}.md)", _cell(cli.VERBS[verb].summary)


def write(docs: pathlib.Path) -> None:
    """Write the pages below the docs' folder, and remove stale ones."""
    folder = docs / FOLDER
    folder.mkdir(exist_ok=True)
    made = {folder / f"{name}.md": text for name, text in pages().items()}
    for path in set(folder.glob("*.md")) - made.keys():
        path.unlink()
    for path, text in made.items():
        # Left alone where it is the same, so that Sphinx reads it once.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _verb(name: str) -> Iterator[str]:
    context = click.Context(cli.digitmill, info_name="digitmill")
    command = cli.digitmill.get_command(context, name)
    assert command is not None
    own = click.Context(command, info_name=name, parent=context)
    yield from (f"# digitmill {name}", "")
    yield from ("```text", *command.get_usage(own).splitlines(), "```", "")
    yield from (*_prose(command.help or ""), "")
    for title, options in _groups(command, own):
        yield from (f"## {title}", "")
        yield from _table(("flag", "meaning"), [_described(option, own) for option in options])
    if name in _WRITES:
        yield from (f"What it writes: [files](files.md#{_WRITES[name]}).", "")


def _groups(command: click.Command, context: click.Context) -> Iterator[tuple[str, Sequence[click.Option]]]:
    grouped = [(group.title, group.options) for group in getattr(command, "option_groups", [])]
    taken = {option.name for _, options in grouped for option in options}
    rest = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    yield from grouped
    yield "Other flags", [option for option in rest if option.name not in taken]


def _described(option: click.Option, context: click.Context) -> tuple[str, str]:
    record = option.get_help_record(context)
    assert record is not None
    flag, meaning = record
    return _flag_cell(flag), _cell(meaning)


def _flag_cell(record: str) -> str:
    """Return a flag and what it takes, as code of their own: a line may end between them alone."""
    flags = re.findall(r"(?<![\w-])-{1,2}[a-z][a-z-]*", record.partition("[")[0])
    taken = record[record.rindex(flags[-1]) + len(flags[-1]) :].strip()
    codes = [f"`{flag}`" for flag in flags] + ([f"`{taken}`".replace("|", "\\|")] if taken else [])
    return " ".join(codes)


def _prose(text: str) -> Iterator[str]:
    """Yield a help text, with what click shall not wrap as literal text."""
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        lines = paragraph.split("\n")
        if lines[0].strip() == "\b":
            title, *commands = filter(None, map(str.strip, lines[1:]))
            yield from (title, "", "```bash", *commands, "```", "")
        else:
            yield from (*(_flags_as_code(_escaped(line.strip())) for line in lines), "")


def _files() -> Iterator[str]:
    yield from ("# Files", "", "What stands in an output, and when.", "")
    for title, files in _OUTPUTS.items():
        yield from (f"## {title}", "")
        rows = [(f"`{file.name}`", file.meaning + _link_to_columns(title, file)) for file in files]
        yield from _table(("file", "what it is"), rows)


def _link_to_columns(title: str, file: OutputFile) -> str:
    if not file.columns:
        return ""
    # As the site makes anchors of headings.
    anchor = re.sub(r"[^\w -]", "", _heading(title, file).lower()).replace(" ", "-")
    return f" [Its columns](columns.md#{anchor})."


def _heading(title: str, file: OutputFile) -> str:
    if tuple(file.columns) == tuple(column.name for column in prediction.COLUMNS):
        return next(iter(_TYPED))
    return f"{title}: `{file.name}`"


def _columns() -> Iterator[str]:
    yield from ("# Columns", "", "Of every CSV, and of the TFRecords.", "")
    for title, columns in _TYPED.items():
        yield from (f"## {title}", "")
        yield from _table(("column", "type", "what it is"), [_column(column) for column in columns])
    yield from (f"## `{labels.FILE}`", "", "From the review page, for training and as truth.", "")
    yield from _table(
        ("column", "what it is"), [(f"`{name}`", text) for name, text in labels.MEANINGS.items()]
    )
    for title, files in _OUTPUTS.items():
        for file in files:
            if file.columns and (heading := _heading(title, file)) not in _TYPED:
                yield from (f"## {heading}", "", file.meaning, "")
                rows = [(f"`{name}`", meaning) for name, meaning in _folded(file)]
                yield from _table(("column", "what it is"), rows)


def _folded(file: OutputFile) -> Iterator[tuple[str, str]]:
    """Yield a file's columns, those of the ten digits as one row."""
    for name, meaning in file.columns.items():
        if name == "0":
            yield "0` … `9", meaning.replace(" 0.", " this digit.")
        elif not name.isdecimal():
            yield name, meaning
    if file.more:
        yield "…", file.more


def _column(column: Column) -> tuple[str, str, str]:
    kind = f"{column.kind}, may be empty" if column.nullable else column.kind
    return f"`{column.name}`", kind, _cell(column.description)


def _table_page(title: str, lead: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([f"# {title}", "", lead, "", *_table(header, rows)])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    yield from ("| " + " | ".join(row) + " |" for row in rows)
    yield ""


def _cell(text: str) -> str:
    return _flags_as_code(_escaped(" ".join(text.split()).replace("|", "\\|")))


def _flags_as_code(text: str) -> str:
    """Return Markdown in which flags are code, which no line's end divides."""
    pieces = text.split("`")
    # Every other piece is code already.
    pieces[::2] = [re.sub(r"(?<![\w-])--[a-z][a-z-]*[a-z]", r"`\g<0>`", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")
