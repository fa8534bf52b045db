"""What the site shows is run where it can be, and parsed where it cannot."""

import json
import os
import pathlib
import re
import shlex
from collections.abc import Iterable, Iterator

import click
import pytest

from digitmill import cli
from digitmill.verbs.sample import write_sample
from schemas.errors import ExitCode
from schemas.model.model_card import ModelCard

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


def sessions(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """The commands of a console block, each with the output that the page shows."""
    for part in re.split(r"^\$ ", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines()
        for arguments in commands(command):
            yield arguments, [line for line in printed if line.strip() not in ("", "…")]


def starts(lines: Iterable[str]) -> set[str]:
    """How lines begin: figures and the folders of a machine are others elsewhere, names of rows are not."""
    return {re.sub(r"^/.*", "/", line.split()[0]) for line in lines if line.strip()}


def run(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == ExitCode.OK, arguments


def name_of(page: pathlib.Path) -> str:
    return str(page.relative_to(DOCS))


def test_every_block_says_what_it_is_so_that_commands_are_looked_at() -> None:
    opened = {
        name_of(page): re.findall(r"^```.*$", page.read_text(encoding="utf-8"), re.MULTILINE)[::2]
        for page in PAGES
    }
    assert [name for name, fences in opened.items() if "```" in fences] == []


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
    page: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [session for text in blocks(page, "console") for session in sessions(text)]
    assert asked
    if ["sample", "scans", "--n", "100"] not in [arguments for arguments, _ in asked]:
        write_sample(tmp_path / "scans", "validation", number=40)
    for arguments, shown in asked:
        run(arguments)
        assert starts(shown) <= starts(capsys.readouterr().out.splitlines()), arguments
    # A command that repeats a run repeats all of it.
    if name_of(page) == "start/tutorial.md":
        counts = [
            json.loads((tmp_path / name / "manifest.json").read_text())["counts"]
            for name in ("second", "third")
        ]
        assert counts[0] == counts[1]
        assert counts[0]["scored"] == 100


def shown_commands(page: pathlib.Path) -> Iterator[list[str]]:
    """The commands of a page's blocks and of its prose."""
    prose = re.findall(r"`(digitmill [^`]+)`", page.read_text(encoding="utf-8"))
    for text in (*blocks(page, "bash", "console"), *prose):
        yield from commands(text)


def unknown_words(verb: str, arguments: list[str]) -> set[str]:
    """What of a command the command line does not know."""
    # submit takes what train takes.
    verbs = (verb, "train") if verb == "submit" else (verb,)
    known = [cli.digitmill.get_command(click.Context(cli.digitmill), each) for each in verbs]
    params = [param for command in known if command is not None for param in command.params]
    if known[0] is None:
        return {verb}
    flags = {flag for param in params for flag in (*param.opts, *param.secondary_opts)}
    used = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    # Verbs that hand Beam its flags take those, too; Beam's have underscores or are its runner.
    beam = {"--runner", "--project", "--region", "--parallelism"}
    return {flag for flag in used - flags - beam - {"--help"} if "_" not in flag}


def test_every_command_is_one_that_there_is() -> None:
    for page in (*PAGES, ROOT / "README.md"):
        for verb, *arguments in shown_commands(page):
            if arguments and not verb.startswith("-") and verb != "VERB":
                assert unknown_words(verb, arguments) == set(), f"{page.name}: {verb} {arguments}"


def test_fine_tuning_keeps_the_accept_threshold_of_the_shipped_model() -> None:
    shown = shown_commands(DOCS / "how-to" / "fine-tune.md")
    (train,) = [arguments for arguments in shown if arguments[0] == "train"]
    text = (ROOT / "digitmill" / "model" / "model_card.json").read_text(encoding="utf-8")
    threshold = ModelCard.from_json(text).accept_threshold
    assert train[train.index("--accept-threshold") + 1] == f"{threshold:g}"


def types_of(names: dict) -> list[str]:
    """The types of the columns that an example has read."""
    for name in ("table", "rows"):
        if name in names:
            found = names[name]
            lazy = hasattr(found, "collect_schema")
            kinds = (
                found.collect_schema().dtypes() if lazy else found.types if name == "table" else found.dtypes
            )
            return list(map(str, kinds))
    return []


@pytest.fixture(scope="module")
def types_by_example() -> dict[int, set[tuple[str, ...]]]:
    """The types that each example of a page has found, in all runs."""
    return {}


@pytest.mark.parametrize(("digits", "labels"), [(30, True), (30, False), (0, False)])
def test_the_python_of_the_outputs_page_reads_them(
    digits: int,
    labels: bool,
    types_by_example: dict[int, set[tuple[str, ...]]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if digits:
        write_sample(tmp_path / "scans", "validation", number=digits)
    (tmp_path / "scans").mkdir(exist_ok=True)
    (tmp_path / "scans" / "odd,näme.png").write_bytes(b"no image")
    labeled = ["--labels", "folder"] if labels else []
    run(["score", "--input", "scans", "--output", "scores", "--max-failure-rate", "1", *labeled])
    names: dict = {}
    page = DOCS / "how-to" / "read-outputs.md"
    for arguments in (asked for text in blocks(page, "console") for asked in commands(text)):
        if arguments[0] == "export":
            run(arguments)
    for number, example in enumerate(blocks(page, "python")):
        names.pop("table", None)
        exec(example, names)
        types_by_example.setdefault(number, set()).add(tuple(types_of(names)))
    assert {len(types) for types in types_by_example.values()} == {1}
    assert len(names["failures"].dropna(subset="path")) == 1
    assert (len(names["rows"]), len(names["failures"])) == (digits, 1)
    assert sum(len(some) for some in names["digits"]) == digits
    assert dict(names["by_decision"]).keys() <= {"accept", "review"}
    assert sum(count for _, count in names["by_decision"]) == digits
    assert names["by_digit"]["len"].sum() == digits
    assert [*map(os.path.exists, names["paths"])] == [True] * digits


@pytest.mark.slow
def test_the_python_page_does_what_it_shows(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path / "scans", "validation", number=30)
    write_sample(tmp_path / "meters", "train", number=400)
    for name, image in zip(("a.png", "b.png"), sorted((tmp_path / "scans").rglob("*.png")), strict=False):
        (tmp_path / name).write_bytes(image.read_bytes())
    names: dict = {}
    for example in blocks(DOCS / "python.md", "python"):
        exec(example, names)
    printed = capsys.readouterr().out
    assert "UNSUPPORTED\n(28, 28)\n" in printed
    assert "Counts(listed=30, scored=30, failed=0, skipped=0)" in printed
    assert names["trained"].accuracy.images > 0
