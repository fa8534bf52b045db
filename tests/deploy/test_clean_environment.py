"""The images' RUN steps in clean environments, and the staged job in the one that is the worker's."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from pipelines.runners.dataflow import TemplateMadeError
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from tests.deploy.cloud_build import ROOT
from tests.gcs_emulator import Bucket

pytestmark = pytest.mark.cloud

# A template is made: nothing is asked of the endpoint. One of this name spares Beam's looks at the project.
TEMPLATE = (
    "--runner=DataflowRunner",
    "--project=project-1",
    "--region=europe-west4",
    "--no_auth",
    "--dataflow_endpoint=http://localhost:1",
)

RUN_STAGED = """
import importlib.util, sys
assert importlib.util.find_spec("tensorflow") is None, "the worker has TensorFlow"
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms import environments
pipeline = beam_runner_api_pb2.Pipeline.FromString(open(sys.argv[1], "rb").read())
embedded = environments.EmbeddedPythonEnvironment.default().to_runner_api(None)
for environment in pipeline.components.environments.values():
    environment.CopyFrom(embedded)
FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([])).wait_until_finish()
import pipelines
print(pipelines.__file__)
"""


def steps(name: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile that copy from the checkout, run, or declare."""
    text = (ROOT / "deploy" / f"{name}.Dockerfile").read_text().replace("\\\n", " ")
    return [(kind, rest) for kind, rest in re.findall(r"^(ARG|COPY|RUN) (.+)$", text, re.MULTILINE)]


def build(name: str, work: pathlib.Path, environment: dict[str, str], **given: str) -> None:
    """Does what a Dockerfile does, in a folder and an environment of Python instead of an image."""
    arguments: dict[str, str] = {}
    for kind, rest in steps(name):
        if kind == "ARG":
            key, _, value = rest.partition("=")
            arguments[key] = given.get(key, value)
        elif kind == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                copy(ROOT / source, work / target)
        elif kind == "RUN":
            done = subprocess.run(
                ["sh", "-c", rest],
                cwd=work,
                env={**environment, **arguments},
                capture_output=True,
                text=True,
                check=False,
                timeout=1800,
            )
            assert done.returncode == 0, (rest, done.stderr[-2000:])


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target / source.name if target.is_dir() else target)


def bare(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, str]]:
    """An empty folder, and the environment of a Python that has nothing."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    work = folder / "work"
    work.mkdir()
    return work, {**kept, "PATH": f"{folder / 'venv' / 'bin'}:{os.environ['PATH']}"}


def run_in(work: pathlib.Path, environment: dict[str, str], *command: str) -> subprocess.CompletedProcess:
    """Run a command in an environment, and fail with what it says if it fails."""
    done = subprocess.run(
        command, cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, (command, done.stdout[-1500:], done.stderr[-2500:])
    return done


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, dict[str, str]]:
    """The folder and the environment that Dataflow's worker.Dockerfile makes of a bare Python."""
    work, environment = bare(tmp_path_factory.mktemp("worker"))
    build("dataflow/worker", work, environment)
    return work, environment


def test_the_staged_job_runs_with_the_worker_s_requirements_alone(
    worker: tuple, bucket: Bucket, digits, png_of, bundle_path, tmp_path: pathlib.Path, monkeypatch
) -> None:
    _, environment = worker
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    for number in range(20):
        bucket.put(f"in/{number}.png", png_of(digits[number]))
    flags = [*TEMPLATE, "--sdk_container_image=w:1"]
    flags += [f"--temp_location={bucket.uri}/tmp", f"--template_location={bucket.uri}/template"]
    options = ScoreOptions((f"{bucket.uri}/in",), bundle_path, f"{bucket.uri}/out", beam_flags=tuple(flags))
    with pytest.raises(TemplateMadeError):
        run(options)
    (name,) = (name for name in bucket.names() if name.endswith("pipeline.pb"))
    (tmp_path / "pipeline.pb").write_bytes(bucket.read(name))
    done = subprocess.run(
        ["python", "-c", RUN_STAGED, str(tmp_path / "pipeline.pb")],
        cwd=tmp_path,
        env={**environment, "STORAGE_EMULATOR_HOST": os.environ["STORAGE_EMULATOR_HOST"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # The installed one, not this checkout's.
    assert "site-packages/pipelines" in done.stdout
    local = ScoreOptions((f"{bucket.uri}/in",), bundle_path, f"{bucket.uri}/out", resume=True)
    assert run(local).manifest.counts.scored == 20


def test_the_launcher_is_the_worker_and_what_it_needs_besides(worker: tuple) -> None:
    work, environment = worker
    build("dataflow/launcher", work, environment)
    done = subprocess.run(
        ["python", "launch.py", "--help"],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "digitmill score" in done.stdout


def assert_whole(environment: dict[str, str]) -> None:
    """Assert that no package lacks another one, but for digitmill what a worker does not import."""
    done = subprocess.run(
        ["python", "-m", "pip", "check"], env=environment, capture_output=True, text=True, check=False
    )
    assert [line for line in done.stdout.splitlines() if not line.startswith("digitmill ")] == []
    assert "tensorflow" not in done.stdout


def test_flink_s_worker_pool_starts_without_tensorflow(tmp_path: pathlib.Path) -> None:
    work, environment = bare(tmp_path)
    build("flink/worker", work, environment)
    pool = ["python", "-m", "apache_beam.runners.worker.worker_pool_main"]
    assert "--service_port" in run_in(tmp_path, environment, *pool, "--help").stdout
    absent = "import importlib.util, sys; sys.exit(importlib.util.find_spec('tensorflow') is not None)"
    run_in(tmp_path, environment, "python", "-c", absent)
    assert_whole(environment)


def test_a_night_is_scored_in_the_scorer_s_environment(
    digits, png_of, bundle_path, tmp_path: pathlib.Path
) -> None:
    work, environment = bare(tmp_path)
    build("nightly/scorer", work, environment)
    (tmp_path / "in").mkdir()
    for number in range(20):
        (tmp_path / "in" / f"{number}.png").write_bytes(png_of(digits[number]))
    # What comes as a TIFF is decoded, too.
    tiff = "import cv2, tifffile; tifffile.imwrite('in/20.tif', cv2.imread('in/0.png', 0))"
    run_in(tmp_path, environment, "python", "-c", tiff)
    given = {"INPUT": "in", "MODEL": str(bundle_path), "NIGHTS": "nights", "STATE": "state", "NIGHT": "1"}
    place = {name: str(tmp_path / value) for name, value in given.items() if name not in ("MODEL", "NIGHT")}
    night = {**environment, **given, **place, "DIGITMILL": "digitmill"}
    said = run_in(tmp_path, night, "bash", str(work / ".ci" / "score-night")).stdout
    assert "report:" in said
    counts = json.loads((tmp_path / "nights" / "1" / "manifest.json").read_text())["counts"]
    assert (counts["listed"], counts["scored"]) == (21, 21)
    assert_whole(environment)


def test_a_trainer_trains_in_its_image_s_environment(tmp_path: pathlib.Path) -> None:
    work, environment = bare(tmp_path)
    # CUDA's libraries are gigabytes, and no code of ours.
    build("training/trainer", work, environment, CUDA="")
    command = ["python", "-m", "trainer.task", "--recipe", "dense-128", "--data", "sample", "--epochs", "1"]
    done = subprocess.run(
        [*command, "--output", "run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "bundle" / "model_card.json").is_file()
    tuner = subprocess.run(
        ["python", "-c", "import hypertune, optuna"], env=environment, check=False, capture_output=True
    )
    assert tuner.returncode == 0, tuner.stderr


def test_beam_builds_the_package_of_a_setup_file(
    bucket: Bucket, bundle_path, digits, png_of, monkeypatch
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    bucket.put("in/1.png", png_of(digits[0]))
    flags = [*TEMPLATE]
    flags += [f"--setup_file={ROOT / 'setup.py'}", f"--temp_location={bucket.uri}/tmp"]
    flags += [f"--template_location={bucket.uri}/template"]
    options = ScoreOptions((f"{bucket.uri}/in",), bundle_path, f"{bucket.uri}/out", beam_flags=tuple(flags))
    with pytest.raises(TemplateMadeError):
        run(options)
    assert any(name.endswith("workflow.tar.gz") for name in bucket.names())
    # Workers install its dependencies before it, under hashes.
    (requirements,) = (name for name in bucket.names() if name.endswith("requirements.txt"))
    assert bucket.read(requirements) == (ROOT / "deploy" / "locks" / "launcher.txt").read_bytes()
