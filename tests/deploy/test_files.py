"""What deploy/ names is there, and says the same as the code."""

import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess

import pytest
import yaml

from schemas import failure, prediction
from tests.deploy.cloud_build import CONFIG, NIGHT, ROOT

TOOLS = ROOT / ".venv" / "tools"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TERRAFORM = ROOT / "deploy" / "terraform"


def tool(name: str, how: str) -> str:
    found = shutil.which(name, path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is missing: {how}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_are_sound(file: pathlib.Path) -> None:
    program = tool("actionlint", "install Go and run `make tools`")
    done = subprocess.run([program, "-no-color", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_workflows_run_the_scripts_that_the_build_runs() -> None:
    scripts = {one["args"][2] for one in CONFIG["steps"]} | {".ci/night"}
    run = set()
    for file in WORKFLOWS:
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            run |= {one["run"] for one in job["steps"] if "run" in one and one["run"].startswith(".ci/")}
    assert run == scripts


@pytest.mark.parametrize(
    ("name", "job", "script"),
    [("nightly", "score", ".ci/night"), ("train", "train", ".ci/submit-training")],
)
def test_a_github_step_has_the_environment_of_a_built_one(name: str, job: str, script: str) -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    (github,) = (one for one in workflow["jobs"][job]["steps"] if one.get("run") == script)
    (built,) = (one for one in [*CONFIG["steps"], *NIGHT["steps"]] if one["id"] == job)
    assert set(github["env"]) - {"SCORER"} == {line.partition("=")[0] for line in built["env"]}


def test_a_workflow_calls_targets_that_there_are() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {word for file in WORKFLOWS for word in re.findall(r"run: make ([\w-]+)", file.read_text())}
    assert called
    assert called <= targets


def test_the_alert_hears_of_whatever_ends_a_night_and_of_nothing_else() -> None:
    (pattern,) = re.findall(r'textPayload=~"(.+)"', (TERRAFORM / "nightly.tf").read_text())
    heard = [
        'ERROR: build step 3 "python:3.11" failed: step exited with non-zero status: 3',
        "TIMEOUT",
        "ERROR",
    ]
    assert all(re.search(pattern, line) for line in heard)
    # A step's own lines have its name before them.
    others = ['Step #3 - "score": ERROR: one image', "DONE", 'Finished Step #3 - "score"']
    assert not any(re.search(pattern, line) for line in others)


@pytest.mark.slow
def test_terraform_is_formatted() -> None:
    program = tool("terraform", "it is not needed to run digitmill")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [program, "fmt", "-check", "-diff", "-no-color", str(TERRAFORM)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_terraform_names_what_there_is() -> None:
    text = "\n".join(file.read_text() for file in TERRAFORM.glob("*.tf"))
    assert {
        path.stem.partition(".")[0] for path in (ROOT / "schemas" / "generated").glob("*.bigquery.json")
    } == {
        "predictions",
        "failures",
    }
    (block,) = re.findall(r"substitutions = \{\n(.+?)\n  \}", text, re.DOTALL)
    assert set(re.findall(r"^\s+(_\w+)\s+=", block, re.MULTILINE)) <= set(NIGHT["substitutions"])
    (path,) = re.findall(r'^\s+path\s+= "(.+)"$', text, re.MULTILINE)
    assert path == "deploy/nightly/cloudbuild.yaml"
    declared = set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
    assert set(re.findall(r"\bvar\.(\w+)", text)) == declared
    resources = set(re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE))
    assert set(re.findall(r"\b(google_\w+)\.(\w+)\.", text)) <= resources


def access() -> dict[str, dict[str, str]]:
    """Which account has which role in which bucket, of accounts.tf's table."""
    (table,) = re.findall(
        r"^  access = \{\n(.+?)\n  \}", (TERRAFORM / "accounts.tf").read_text(), re.M | re.S
    )
    return {
        bucket: dict(re.findall(r'(\w+) = "(\w+)"', roles))
        for bucket, roles in re.findall(r"^    (\w+)\s+= \{(.+)\}$", table, re.MULTILINE)
    }


def test_no_job_and_no_build_can_write_a_model() -> None:
    found = access()
    assert set(found["models"].values()) == {"objectViewer"}
    assert {"launcher", "worker", "trainer"} <= set(found["models"])
    # Nor what is scored, nor the code that the next night runs.
    assert set(found["inputs"].values()) == {"objectViewer"}
    assert {account for account, role in found["code"].items() if role != "objectViewer"} == {"build"}
    # A role in the project would reach into every bucket.
    text = (TERRAFORM / "accounts.tf").read_text()
    of_the_project = re.findall(
        r'"roles/([\w.]+)"',
        "".join(re.findall(r'^resource "google_project_iam_member".+?^\}', text, re.MULTILINE | re.DOTALL)),
    )
    assert of_the_project
    assert not {role for role in of_the_project if role.startswith("storage.") or role in ("editor", "owner")}


def test_what_is_overwritten_or_deleted_can_be_had_back() -> None:
    text = (TERRAFORM / "storage.tf").read_text()
    blocks = dict(re.findall(r'^resource "google_storage_bucket" "(\w+)" \{(.+?)^\}', text, re.M | re.S))
    assert set(blocks) == set(access())
    assert all("retention_duration_seconds = local.week" in block for block in blocks.values())
    assert {name for name, block in blocks.items() if "versioning {" in block} == {"models", "code"}


def test_the_scheduler_can_start_builds_and_nothing_else() -> None:
    text = (TERRAFORM / "accounts.tf").read_text()
    resources = re.findall(r'^resource "(\w+)" "(\w+)" \{(.+?)^\}', text, re.MULTILINE | re.DOTALL)
    granted = [block for kind, _, block in resources if "iam_member" in kind and "scheduler.member" in block]
    assert len(granted) == 1
    assert "role    = google_project_iam_custom_role.scheduler.id" in granted[0]
    (role,) = (block for kind, _, block in resources if kind == "google_project_iam_custom_role")
    assert re.findall(r"permissions = (\[.+\])", role) == ['["cloudbuild.builds.create"]']


def test_the_views_read_what_is_loaded() -> None:
    kinds = {"INT64": "INTEGER", "FLOAT64": "REAL", "STRING": "TEXT"}
    database = sqlite3.connect(":memory:")
    for name, columns in (("predictions", prediction.COLUMNS), ("failures", failure.COLUMNS)):
        schema = json.loads((ROOT / "schemas" / "generated" / f"{name}.bigquery.json").read_text())
        assert [field["name"] for field in schema] == [column.name for column in columns]
        fields = ", ".join(f"{field['name']} {kinds[field['type']]}" for field in schema)
        database.execute(f"CREATE TABLE `d.{name}` ({fields})")
    insert = "INSERT INTO `d.predictions` (image, digit, confidence, decision, label) VALUES (?, ?, ?, ?, ?)"
    database.executemany(
        insert,
        [("a", 1, 0.99, "accept", 1), ("b", 1, 0.6, "review", 7), ("c", 2, 0.4, "review", None)],
    )
    database.execute("INSERT INTO `d.failures` VALUES ('x', 'x', 1, 'EMPTY', '')")
    found = {}
    for view in (ROOT / "deploy" / "bigquery" / "views").glob("*.sql"):
        found[view.stem] = database.execute(view.read_text().replace("DATASET", "d")).fetchall()
    assert sorted(row[0] for row in found["review"]) == ["b", "c"]
    assert sorted(found["digits"]) == [(1, 2, 1, pytest.approx(0.795)), (2, 1, 0, pytest.approx(0.4))]
    assert sorted(found["accuracy"]) == [("accept", 1, 1, 1.0), ("review", 1, 0, 0.0)]
    assert found["failed"] == [("EMPTY", 1, "x")]


VIEWS = {view.stem: view for view in (ROOT / "deploy" / "bigquery" / "views").glob("*.sql")}


def test_terraform_divides_the_tables_as_the_load_command_does() -> None:
    text = (TERRAFORM / "storage.tf").read_text()
    command = (ROOT / "deploy" / "bigquery" / "load").read_text()
    clusters = re.findall(r"--clustering_fields=(\S+)", command)
    declared = re.search(r'clustering = .*"predictions" \? \[(.+)\] : \[(.+)\]', text)
    assert declared is not None
    assert [names.replace('"', "").replace(" ", "") for names in declared.groups()] == clusters
    (divided,) = re.findall(r"--range_partitioning=(\w+),(\d+),(\d+),(\d+)", command)
    field = re.search(r'"predictions" \? \["(\w+)"\] : \[\]', text)
    bounds = re.findall(r"(?:start|end|interval) +=\s+(\d+)", text)
    assert field is not None
    assert (field[1], *bounds) == divided


def load(tmp_path: pathlib.Path, *arguments: str) -> tuple[subprocess.CompletedProcess, list[list[str]]]:
    """Run the load command with a stand-in for bq, and return what that was called with."""
    (tmp_path / "bq").write_text(
        f'#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done >> {tmp_path}/calls\n'
        f"printf '\\n\\n\\0' >> {tmp_path}/calls\n"
    )
    (tmp_path / "bq").chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "deploy" / "bigquery" / "load"), *arguments],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    file = tmp_path / "calls"
    calls = file.read_text().split("\0\n\n\0")[:-1] if file.exists() else []
    return done, [call.split("\0") for call in calls]


def test_the_load_command_loads_both_tables_and_makes_every_view(tmp_path: pathlib.Path) -> None:
    import sqlglot

    done, calls = load(tmp_path, "gs://b/state/", "my-project:digits")
    assert done.returncode == 0, done.stderr
    loaded = {call[-3]: call for call in calls if call[0] == "load"}
    assert set(loaded) == {"my-project:digits.predictions", "my-project:digits.failures"}
    assert loaded["my-project:digits.predictions"][-2:] == [
        "gs://b/state/predictions/part-*.csv",
        "schemas/generated/predictions.bigquery.json",
    ]
    assert loaded["my-project:digits.failures"][-2:] == [
        "gs://b/state/reports/failures*.csv",
        "schemas/generated/failures.bigquery.json",
    ]
    assert all(
        {"--replace", "--allow_quoted_newlines", "--skip_leading_rows=1"} <= set(c) for c in loaded.values()
    )
    divided = {"--range_partitioning=digit,0,10,1", "--clustering_fields=decision,image"}
    assert divided <= set(loaded["my-project:digits.predictions"])
    assert "--clustering_fields=code,image" in loaded["my-project:digits.failures"]
    queries = [call[-1] for call in calls if call[0] == "query"]
    assert len(calls) == len(loaded) + len(queries)
    made = set()
    for query in queries:
        # As BigQuery's dialect has it: a comment in the wrong place, or a missing backtick, is an error.
        (view,) = sqlglot.parse(query, read="bigquery")
        assert isinstance(view, sqlglot.exp.Create)
        assert view.args["replace"]
        made.add(view.this.sql("bigquery").strip("`"))
        read = {
            table.sql("bigquery").replace("`", "") for table in view.expression.find_all(sqlglot.exp.Table)
        }
        assert read <= {"my-project.digits.predictions", "my-project.digits.failures"}
    assert {name.replace("`", "") for name in made} == {f"my-project.digits.{name}" for name in VIEWS}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nights/1", "p:d"), "BigQuery loads from gs://; got nights/1"),
        (("gs://b/state", "digits"), "the dataset is PROJECT:DATASET; got digits"),
        (("gs://b/state",), "is PROJECT:DATASET"),
        ((), "is an output of score or compact"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(
    tmp_path: pathlib.Path, arguments: tuple[str, ...], words: str
) -> None:
    done, calls = load(tmp_path, *arguments)
    assert done.returncode != 0
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert calls == []


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_bigquery_s_sql_over_columns_that_there_are(name: str) -> None:
    import sqlglot
    from sqlglot.optimizer.qualify import qualify

    schema = {
        f"{table}": {
            field["name"]: field["type"]
            for field in json.loads((ROOT / "schemas" / "generated" / f"{table}.bigquery.json").read_text())
        }
        for table in ("predictions", "failures")
    }
    text = VIEWS[name].read_text().replace("DATASET", "p.d")
    query = sqlglot.parse_one(text, read="bigquery")
    # A column that no table has is an error.
    qualified = qualify(query, schema={"p": {"d": schema}}, dialect="bigquery")
    assert all(column.type is None or column.type.this for column in qualified.selects)
    # Sorted for every question, a billion rows exceed what BigQuery sorts in one place.
    assert query.find(sqlglot.exp.Order) is None
