"""What the site shows is run where it can be, and parsed where it cannot."""

import os
import pathlib
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from digitmill import cli
from digitmill.sample import write_sample
from schemas.errors import ExitCode

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "reference" not in path.parts]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = [page for page in PAGES if re.search(r"^```console$", page.read_text(encoding="utf-8"), re.MULTILINE)]


def blocks(page: pathlib.Path, *kinds: str) -> Iterator[str]:
    for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind in kinds:
            yield text


def commands(text: str) -> Iterator[list[str]]:
    """The `digitmill` commands of a block, a backslash at a line's end joining it with the next."""
    for line in text.replace("\\\n", " ").splitlines():
        words = re.sub(r"\$\(.*?\)", "X", line.removeprefix("$ "))
        if words.startswith("digitmill "):
            yield shlex.split(words, comments=True)[1:]


def run(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == ExitCode.OK, arguments


def name_of(page: pathlib.Path) -> str:
    return str(page.relative_to(DOCS))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is_so_that_commands_are_looked_at(page: pathlib.Path) -> None:
    fences = re.findall(r"^```.*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(fence != "```" for fence in fences[::2])


def test_there_is_something_to_run() -> None:
    assert {"start/tutorial.md", *QUICK} <= set(map(name_of, RUN))


QUICK = {"start/command-line.md"}
"""Pages whose commands train nothing."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name_of(page), marks=() if name_of(page) in QUICK else pytest.mark.slow)
        for page in RUN
    ],
)
def test_the_commands_of_a_page_work_as_written(
    page: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [arguments for text in blocks(page, "console") for arguments in commands(text)]
    assert asked
    if ["sample", "scans", "--n", "100"] not in asked:
        write_sample(tmp_path / "scans", "validation", number=40)
    for arguments in asked:
        run(arguments)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_every_command_is_one_that_there_is(page: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in [
        *blocks(page, "bash", "console"),
        *re.findall(r"`(digitmill [^`]+)`", page.read_text("utf-8")),
    ]:
        for verb, *arguments in commands(text):
            if not arguments or verb.startswith("-") or verb == "VERB":
                continue
            command = cli.digitmill.get_command(click.Context(cli.digitmill), verb)
            assert command is not None, verb
            flags = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
            used = {word.partition("=")[0] for word in arguments if word.startswith("--")}
            # Verbs that hand Beam its flags take those, too; Beam's have underscores or are its runner.
            assert {flag for flag in used - flags - {"--help"} if "_" not in flag} <= {
                "--runner",
                "--project",
                "--region",
                "--parallelism",
            }


def test_the_python_of_the_outputs_page_reads_them(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path / "scans", "validation", number=30)
    (tmp_path / "scans" / "odd,näme.png").write_bytes(b"no image")
    run(["score", "--input", "scans", "--output", "scores", "--max-failure-rate", "1"])
    names: dict = {}
    for example in blocks(DOCS / "how-to" / "read-outputs.md", "python"):
        exec(example, names)
    assert (len(names["rows"]), len(names["failures"])) == (30, 1)
    assert sum(len(digits) for digits in names["digits"]) == 30
    assert os.path.exists(names["path"])
