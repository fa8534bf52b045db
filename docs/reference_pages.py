"""The reference, made from the code: verbs and their flags, files' columns, failure codes, exit codes."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from digitmill import cli
from schemas import failure, packed, prediction
from schemas.columns import Column
from schemas.errors import ExitCode
from schemas.failure import FailureCode

FOLDER: Final = "reference"
"""Folder of the pages, beside the pages that people write; git ignores it."""


def pages() -> Mapping[str, str]:
    """Returns the text of each page by its name, without `.md`."""
    verbs = {f"verb-{name}": "\n".join(_verb(name)) for name in cli._VERBS}
    fixed = {
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
    index = [
        "# Reference",
        "",
        "Made from the code when this site is built.",
        "",
        "```{toctree}",
        ":maxdepth: 1",
        "",
    ]
    return {"index": "\n".join([*index, *verbs, *fixed, "```", ""]), **verbs, **fixed}


def write(docs: pathlib.Path) -> None:
    """Writes the pages below the docs' folder, and removes what is no page any more."""
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
    return f"`{_cell(flag)}`", _cell(meaning)


def _prose(text: str) -> Iterator[str]:
    """Yields a help text, with what click shall not wrap as literal text."""
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        lines = paragraph.split("\n")
        if lines[0].strip() == "\b":
            yield from ("```text", *(line.strip() for line in lines[1:]), "```", "")
        else:
            yield from (*(_escaped(line.strip()) for line in lines), "")


def _columns() -> Iterator[str]:
    yield from ("# Columns", "")
    for title, columns in {
        "Prediction: `predictions/part-*`": prediction.COLUMNS,
        "Failure: `reports/failures.csv`": failure.COLUMNS,
        "Packed image: `shard-*.tfrecord`": packed.COLUMNS,
    }.items():
        yield from (f"## {title}", "")
        yield from _table(("column", "type", "what it is"), [_column(column) for column in columns])


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
    return _escaped(" ".join(text.split()).replace("|", "\\|"))


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")
