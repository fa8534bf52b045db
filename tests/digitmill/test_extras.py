"""Each extra is named by whatever needs it, and has what it is named for."""

import importlib.metadata
import pathlib
import tomllib

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from digitmill import cli, extras
from digitmill.verbs.sample import write_sample
from schemas.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

DATAFLOW = ("--runner=DataflowRunner", "--project=project-1", "--region=europe-west4", "--no_auth")
VERTEX = "--to vertex --project my-project --region europe-west4 --image python:3.12 --gpus-per-worker 0"


def names(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


@pytest.mark.parametrize("extra", extras.MODULES)
def test_an_extra_brings_its_modules_and_the_base_does_not(extra: str) -> None:
    declared = names(PROJECT["optional-dependencies"][extra])
    base = names(PROJECT["dependencies"]) - {"apache-beam"}  # of which gcp has more
    providers = importlib.metadata.packages_distributions()
    for module in extras.MODULES[extra]:
        assert extras.is_installed(module), module
        distributions = set(map(canonicalize_name, providers[module.partition(".")[0]]))
        assert distributions & declared or module == "google.cloud.dataflow", module
        assert module.startswith("google.") or not distributions & base, module


def test_extras_that_train_bring_what_training_needs() -> None:
    for extra in ("tune", "gpu"):
        assert "digitmill[train]" in PROJECT["optional-dependencies"][extra]


@pytest.mark.parametrize(
    ("absent", "command", "value", "remedy"),
    [
        ("train", "train --recipe cnn --output out", "digitmill train", "'digitmill[train]'"),
        ("train", "evaluate --data sample --engine keras", "--engine keras", "'digitmill[train]', or use"),
        ("train", "evaluate --data sample --split train", "--split train", "'digitmill[train]', or use"),
        ("train", "evaluate --data tfds:mnist", "--data tfds:mnist", "'digitmill[train]'"),
        ("train", "calibrate --data fonts: --target-accuracy 0.9 --output out", "--data fonts:", "train]'"),
        ("train", "tune --recipe cnn --output out", "digitmill tune", "'digitmill[train]'"),
        ("tune", "tune --recipe cnn --output out", "digitmill tune", "'digitmill[tune]'"),
        ("tune", "tune --recipe cnn --study-spec", "digitmill tune", "'digitmill[tune]'"),
        ("gcp", "score --input gs://scans/1 --output out", "gs://scans/1", "'digitmill[gcp]'"),
        ("gcp", "score --input scans --output gs://nights/1", "gs://nights/1", "'digitmill[gcp]'"),
        ("gcp", "score --input scans --output out --since gs://nights", "gs://nights", "'digitmill[gcp]'"),
        ("gcp", f"score --input scans --output out {' '.join(DATAFLOW)}", DATAFLOW[0], "'digitmill[gcp]'"),
        ("gcp", f"pack --input scans --output out {' '.join(DATAFLOW)}", DATAFLOW[0], "'digitmill[gcp]'"),
        (
            "gcp",
            f"submit {VERTEX} --recipe cnn --data sample --output /gcs/run --dry-run",
            "--to vertex",
            "gcp]'",
        ),
        ("openvino", "score --input scans --output out --engine openvino", "--engine openvino", "openvino]'"),
    ],
)
def test_what_lacks_its_extra_says_the_line_that_installs_it(
    absent: str,
    command: str,
    value: str,
    remedy: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path / "scans", "test", number=2)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(extras, "is_installed", lambda module: module not in extras.MODULES[absent])
    with pytest.raises(UserError) as refused:
        CliRunner().invoke(cli.digitmill, command.split(), catch_exceptions=False)
    assert "is not installed" in refused.value.error
    assert refused.value.value == value
    assert refused.value.hint.startswith("run pip install ")
    assert remedy in refused.value.hint
    assert sorted(tmp_path.rglob("*")) == before


def test_modules_and_packages_that_are_not_there_are_not_installed() -> None:
    assert extras.is_installed("digitmill.extras")
    assert not extras.is_installed("no_such_module")
    assert not extras.is_installed("no_such_package.module")
    assert extras.install_line("no_such_module") == "pip install no_such_module"
