"""The check's page: a table of speeds, and a list of what every part found."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.tables import Table


def failures(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what has failed, a line each."""
    for name, found in parts.items():
        if "error" in found:
            yield f"{name}: {found['error']}"


def page(found: Mapping[str, Any]) -> str:
    """Return the page as Markdown."""
    machine, parts = found["machine"], found["parts"]
    failed = list(failures(parts))
    seconds = sum(part["seconds"] for part in parts.values())
    lines = [
        "# GPU check",
        "",
        f"{machine['date']}, commit {machine['commit']}, {seconds:.0f} s: "
        + ("all parts passed." if not failed else f"{len(failed)} of {len(parts)} parts failed."),
        "",
        *(f"- **failed** {line}" for line in failed),
    ]
    for name, part in parts.items():
        lines += ["", f"## {name}, {part['seconds']} s", "", *_part(part)]
    return "\n".join(lines) + "\n"


def _part(part: Mapping[str, Any]) -> Iterator[str]:
    if "ways" in part:
        yield from (_table(part["ways"]).to_markdown(), "")
    for name, value in part.items():
        if name not in ("ways", "seconds", "error"):
            yield f"- {name}: {_text(value)}"


def _table(ways: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = list(next(iter(ways.values())))
    rows = [[way, *(f"{row[column]:,}" for column in columns)] for way, row in ways.items()]
    return Table("", ["", *columns], rows)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(map(_text, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 0.1 else str(value)
