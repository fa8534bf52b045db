"""The site is built without a warning, its reference is that of the code, and the notebook runs."""

import json
import os
import pathlib
import subprocess
import sys

import click
import nbformat
import pytest

from digitmill import cli
from docs import notebook_outputs, reference_pages
from schemas import labels, outputs, prediction
from schemas.errors import ExitCode
from schemas.failure import FailureCode

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return dict(reference_pages.pages())


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_flag_of_every_verb_is_in_the_reference(verb: str, pages: dict[str, str]) -> None:
    command = cli.digitmill.get_command(click.Context(cli.digitmill), verb)
    for param in command.params:
        if isinstance(param, click.Option):
            for flag in (*param.opts, *param.secondary_opts):
                assert flag in pages[f"verb-{verb}"]
            assert " ".join(param.help.split())[:20].replace("|", "\\|") in pages[f"verb-{verb}"]


def test_every_code_and_column_is_in_the_reference(pages: dict[str, str]) -> None:
    for code in FailureCode:
        assert f"| `{code}` | {code.meaning} |" in pages["failure-codes"]
    for code in ExitCode:
        assert f"| {code.value} | {code.meaning} |" in pages["exit-codes"]
    for column in prediction.COLUMNS:
        assert f"| `{column.name}` | {column.kind}" in pages["columns"]


def test_every_file_and_the_columns_of_every_table_are_in_the_reference(pages: dict[str, str]) -> None:
    for file in (*outputs.SCORED, *outputs.PACKED, *outputs.TRAINED, *outputs.TUNED):
        assert f"| `{file.name}` | {file.meaning[:12]}" in pages["files"]
        for name in file.columns:
            assert name.isdecimal() or f"| `{name}` | " in pages["columns"]
    assert "| `0` … `9` | " in pages["columns"]
    for name, meaning in labels.MEANINGS.items():
        assert f"| `{name}` | {meaning} |" in pages["columns"]


def test_flags_in_prose_are_code_and_code_stays_as_it_is() -> None:
    text = "See --resume and --no-xla: `digitmill score --input x` --, a--b."
    shown = reference_pages._flags_as_code(text)
    assert shown == "See `--resume` and `--no-xla`: `digitmill score --input x` --, a--b."


def test_pages_that_are_no_more_go_and_others_stay_untouched(tmp_path: pathlib.Path) -> None:
    reference_pages.write(tmp_path)
    folder = tmp_path / reference_pages.FOLDER
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "verb-gone.md").write_text("# Gone", encoding="utf-8")
    reference_pages.write(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: pathlib.Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-d",
        tmp_path / "trees",
    ]
    done = subprocess.run(
        [*command, "docs", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for page in (
        "index",
        "start/tutorial",
        "how-to/own-folder",
        "reference/verb-score",
        "notebooks/first-steps",
    ):
        assert (tmp_path / "site" / f"{page}.html").exists()
    shown = (tmp_path / "site/reference/verb-score.html").read_text(encoding="utf-8")
    assert "--accept-threshold" in shown
    assert '<span class="pre">--resume</span></code>' in shown  # and not with a dash


def kinds(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """The kinds of every cell's outputs; a file has those of an output sorted."""
    return [
        [
            kind
            for output in cell.get("outputs", ())
            for kind in sorted(output.get("data", {output.output_type: ""}))
        ]
        for cell in notebook.cells
    ]


def test_the_notebook_has_pictures_and_tables_and_runs_no_other_process() -> None:
    notebook = nbformat.read(notebook_outputs.NOTEBOOK, as_version=4)
    assert sum(kind == "image/png" for found in kinds(notebook) for kind in found) >= 5
    assert sum(kind == "text/html" for found in kinds(notebook) for kind in found) >= 2
    source = "\n".join(cell.source for cell in notebook.cells)
    assert "import digitmill\n" in source
    assert "subprocess" not in source
    shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "widget" not in shown
    assert "Traceback" not in shown


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
    committed = nbformat.read(notebook_outputs.NOTEBOOK, as_version=4)
    executed = notebook_outputs.execute()
    assert "widget-view" in json.dumps([cell.get("outputs", []) for cell in executed.cells])  # bars
    assert kinds(notebook_outputs.without_bars(executed)) == kinds(committed)
