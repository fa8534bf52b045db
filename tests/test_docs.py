"""What the docs list is compared with the code."""

import dataclasses
import pathlib
import re

from docs import reference_pages
from schemas import failure, labels, prediction
from schemas.columns import Column
from schemas.errors import ExitCode
from schemas.failure import FailureCode
from schemas.model.model_card import ModelCard
from schemas.model.trust import Trust
from trainer import recipes

DOCS = pathlib.Path(__file__).parents[1] / "docs"
SCORING = (DOCS / "scoring.md").read_text(encoding="utf-8")


def described(heading: str) -> list[tuple[str, str]]:
    table = SCORING.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", table, re.MULTILINE)


def columns(those: tuple[Column, ...]) -> list[tuple[str, str]]:
    return [(column.name, column.description) for column in those]


def test_every_column_is_described() -> None:
    assert described("**Prediction**") == columns(prediction.COLUMNS)
    assert described("**Failure**") == columns(failure.COLUMNS)


def test_every_failure_is_listed_with_its_meaning() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+) \|$", SCORING, re.MULTILINE))
    assert rows == {code.value: code.meaning for code in FailureCode}


def test_every_recipe_is_listed() -> None:
    table = (DOCS / "training.md").read_text(encoding="utf-8").partition("| recipe |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE) == list(recipes.NAMES)


def test_every_exit_code_has_its_meaning() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d) \| ", SCORING, re.MULTILINE)] == [
        code for code in ExitCode if code < ExitCode.INTERRUPTED
    ]


def test_every_field_of_the_card_is_described() -> None:
    rows = re.findall(r"^\| (`.+?`) \| ", (DOCS / "model.md").read_text(encoding="utf-8"), re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    fields = {field.name for field in dataclasses.fields(ModelCard)} - {"trust"}
    assert fields | {f"trust.{field.name}" for field in dataclasses.fields(Trust)} <= described


def test_links_between_documents_lead_somewhere() -> None:
    generated = DOCS / reference_pages.FOLDER
    made = {generated / f"{name}.md" for name in reference_pages.pages()}
    written = [path for path in DOCS.rglob("*.md") if path.parent != generated]
    for document in [*written, DOCS.parent / "README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            place = (document.parent / target).resolve()
            assert place in made or place.exists(), f"{document.name}: {target}"


def test_every_column_of_a_labels_file_is_described() -> None:
    table = (DOCS / "review.md").read_text(encoding="utf-8").partition("| column |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.+?`) \| ", table, re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(labels.COLUMNS)
