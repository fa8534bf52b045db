"""The job that Dataflow would get: submitted to a stand-in of its API, and run from what was staged."""

import json
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms import environments
from google.auth.credentials import AnonymousCredentials

from digitmill.storage.object_stores import google
from pipelines.compact import compact_job
from pipelines.compact.compact_options import CompactOptions
from pipelines.packing import pack_job
from pipelines.packing.pack_options import PackOptions
from pipelines.runners import dataflow
from pipelines.runners.dataflow import TemplateMadeError
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import UnreconciledError, UserError
from schemas.manifest import Manifest
from tests.gcs_emulator import Bucket
from tests.rest_stand_in import Asked

JOBS = "/v1b3/projects/project-1/locations/europe-west4/jobs"
IMAGE = "--sdk_container_image=registry/worker:1"


def flags(*more: str) -> tuple[str, ...]:
    return ("--runner=DataflowRunner", "--project=project-1", "--region=europe-west4", *more)


def completed(options: ScoreOptions) -> Sequence[str]:
    return dataflow.complete_flags(options.beam_flags, inputs=options.inputs, output=options.output)


def options(bucket: Bucket, model: object, *more: str, **changes: object) -> ScoreOptions:
    return ScoreOptions(
        (f"{bucket.uri}/in",),
        pathlib.Path(str(model)),
        f"{bucket.uri}/out",
        labels="folder",
        beam_flags=flags("--no_auth", f"--temp_location={bucket.uri}/tmp", *more),
        **changes,
    )


@pytest.fixture
def filled(
    bucket: Bucket,
    digits: np.ndarray,
    labels: np.ndarray,
    png_of: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> Bucket:
    # Nothing here asks for the credentials of a machine in the cloud.
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    for number in range(0, 500, 20):
        bucket.put(f"in/{labels[number]}/{number:03d}.png", png_of(digits[number]))
    return bucket


def pipeline_of(bucket: Bucket) -> beam_runner_api_pb2.Pipeline:
    """The job's graph as it was staged."""
    (name,) = (name for name in bucket.names() if name.endswith("pipeline.pb"))
    return beam_runner_api_pb2.Pipeline.FromString(bucket.read(name))


def run_staged(bucket: Bucket) -> None:
    """Run the staged graph, as Dataflow would in its own containers."""
    pipeline = pipeline_of(bucket)
    embedded = environments.EmbeddedPythonEnvironment.default().to_runner_api(None)
    for environment in pipeline.components.environments.values():
        environment.CopyFrom(embedded)
    FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([])).wait_until_finish()


class Service:
    """Dataflow: takes a job, does its work at once or not at all, and says that it is done."""

    def __init__(self, bucket: Bucket, *, works: bool = True) -> None:
        self.bucket, self.works = bucket, works
        self.jobs: list[dict] = []
        self.names: set[str] = set()

    def __call__(self, asked: Asked) -> tuple[int, dict]:
        if asked.method == "POST" and asked.path == JOBS:
            self.jobs.append(asked.body)
            self.names = self.bucket.names()
            if self.works:
                run_staged(self.bucket)
        return 200, {"id": "job-1", "name": "digits", "currentState": "JOB_STATE_DONE"}


def endpoint(stand_in) -> str:
    # Beam speaks REST without TLS to a host of this name alone.
    return f"--dataflow_endpoint=http://localhost:{stand_in.server_address[1]}"


@pytest.fixture
def elsewhere(bundle_path: pathlib.Path, tmp_path: pathlib.Path, filled: Bucket) -> str:
    """A bundle in a bucket: no worker finds it on its disk."""
    for file in bundle_path.rglob("*"):
        if file.is_file():
            filled.put(f"bundle/{file.relative_to(bundle_path).as_posix()}", file.read_bytes())
    return f"{filled.uri}/bundle"


def test_a_job_is_submitted_done_and_reconciled(filled: Bucket, elsewhere: str, rest_stand_in) -> None:
    service = Service(filled)
    where = endpoint(rest_stand_in(service))
    summary = run(
        options(filled, elsewhere, IMAGE, where, "--max_num_workers=8", "--machine_type=n2-standard-4")
    )
    assert (summary.manifest.counts.listed, summary.manifest.counts.scored) == (25, 25)
    assert summary.manifest.accuracy.value > 0.8
    assert Manifest.from_json(filled.read("out/manifest.json").decode()) == summary.manifest
    assert summary.manifest.model["path"] == elsewhere

    (job,) = service.jobs
    (pool,) = (pool for pool in job["environment"]["workerPools"] if pool.get("kind") != "shuffle")
    assert (pool["diskSizeGb"], pool["machineType"]) == (30, "n2-standard-4")
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 8
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == ["registry/worker:1"]
    told = job["environment"]["sdkPipelineOptions"]["options"]
    # Beam adds a folder of the job's own.
    assert told["temp_location"].startswith(f"{filled.uri}/tmp/")

    graph = pipeline_of(filled).components.transforms.values()
    names = {transform.unique_name for transform in graph}
    assert {"WorkItems", "ScoreImages/Spread", "ScoreImages/Score"} <= names
    # The model travels by itself, once, under its digest; no pixel and no model is in the graph.
    (model,) = (name for name in service.names if name.startswith("out/models/"))
    assert model.split("/")[2] == summary.manifest.model["digest"][:32]
    assert model.endswith(".tflite")
    assert model not in filled.names()
    assert len(pipeline_of(filled).SerializeToString()) < 200_000


def test_a_job_that_did_nothing_is_noticed_and_resumed(
    filled: Bucket, bundle_path: pathlib.Path, rest_stand_in
) -> None:
    where = endpoint(rest_stand_in(Service(filled, works=False)))
    with pytest.raises(UnreconciledError):
        run(options(filled, bundle_path, IMAGE, where))
    assert "out/manifest.json" not in filled.names()
    local = ScoreOptions(
        (f"{filled.uri}/in",), bundle_path, f"{filled.uri}/out", labels="folder", resume=True
    )
    assert run(local).manifest.counts.scored == 25


def test_packages_are_staged(
    filled: Bucket, bundle_path: pathlib.Path, rest_stand_in, tmp_path: pathlib.Path
) -> None:
    package = tmp_path / "digitmill-0.1.0.tar.gz"
    package.write_bytes(b"a package")
    service = Service(filled)
    run(options(filled, bundle_path, endpoint(rest_stand_in(service)), f"--extra_package={package}"))
    staged = {name.rpartition("/")[2] for name in filled.names() if name.startswith("tmp/")}
    assert {"digitmill-0.1.0.tar.gz", "extra_packages.txt", "pipeline.pb"} <= staged


def test_a_template_run_is_finished_by_resume(filled: Bucket, elsewhere: str, rest_stand_in) -> None:
    service = Service(filled)
    given = options(
        filled,
        elsewhere,
        IMAGE,
        endpoint(rest_stand_in(service)),
        f"--template_location={filled.uri}/templates/job",
    )
    with pytest.raises(TemplateMadeError, match="--resume") as launched:
        run(given)
    assert launched.value.code == 0
    assert not service.jobs
    assert json.loads(filled.read("templates/job"))
    assert "out/manifest.json" not in filled.names()
    run_staged(filled)
    finished = ScoreOptions(
        given.inputs, given.model, given.output, labels="folder", resume=True, beam_flags=given.beam_flags
    )
    assert run(finished).manifest.counts.scored == 25


LOCAL = {"model": pathlib.Path("m"), "output": "gs://b/out", "inputs": ("gs://b/in",)}


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google, "credentials", AnonymousCredentials)


def test_other_runners_keep_their_flags() -> None:
    for given in ((), ("--runner=DirectRunner",), ("--runner=FlinkRunner", "--parallelism=4")):
        assert completed(ScoreOptions(**LOCAL, beam_flags=given)) == given


@pytest.mark.usefixtures("credentials")
def test_given_flags_are_kept() -> None:
    given = flags(IMAGE, "--temp_location=gs://t/x", "--disk_size_gb=50")
    assert completed(ScoreOptions(**LOCAL, beam_flags=given)) == given
    only_staging = flags(IMAGE, "--staging_location=gs://t/x", "--disk_size_gb=50")
    assert completed(ScoreOptions(**LOCAL, beam_flags=only_staging)) == only_staging


@pytest.mark.usefixtures("credentials")
def test_temporary_files_go_to_the_bucket_of_the_output() -> None:
    more = completed(ScoreOptions(**LOCAL, beam_flags=flags(IMAGE)))[4:]
    assert more == ("--temp_location=gs://b/digitmill-temp", "--disk_size_gb=30")


@pytest.mark.usefixtures("credentials")
def test_workers_install_a_checkout_s_dependencies_from_its_lock() -> None:
    checkout = pathlib.Path(__file__).parents[3]
    given = flags(f"--setup_file={checkout / 'setup.py'}")
    completed_ = PipelineOptions(list(completed(ScoreOptions(**LOCAL, beam_flags=given))))
    setup = completed_.view_as(SetupOptions)
    assert setup.requirements_cache == "skip"
    lock = pathlib.Path(setup.requirements_file).read_text()
    # By which pip installs nothing whose hash it does not know.
    assert re.search(r"^apache-beam(\[gcp\])?==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE)
    assert not re.search(r"^(tensorflow|keras)==", lock, re.MULTILINE)


@pytest.mark.usefixtures("credentials")
def test_requirements_of_one_s_own_are_kept(tmp_path: pathlib.Path) -> None:
    (tmp_path / "setup.py").touch()
    mine = f"--setup_file={tmp_path / 'setup.py'}"
    assert "--requirements_file" not in " ".join(completed(ScoreOptions(**LOCAL, beam_flags=flags(mine))))
    checkout = pathlib.Path(__file__).parents[3]
    given = flags(f"--setup_file={checkout / 'setup.py'}", "--requirements_file=mine.txt")
    more = completed(ScoreOptions(**LOCAL, beam_flags=given))[len(given) :]
    assert "--requirements" not in " ".join(more)


@pytest.mark.parametrize(
    ("changes", "given", "words"),
    [
        ({"output": "out"}, (IMAGE,), "Dataflow cannot write to this output"),
        ({"inputs": ("gs://b/in", "scans")}, (IMAGE,), "cannot read a local input"),
        ({"inputs": ("file:///scans",)}, (IMAGE,), "cannot read a local input"),
        ({}, (), "--setup_file ./setup.py, or --sdk_container_image"),
        ({}, (IMAGE, "--save_main_session"), "Leave it out"),
    ],
)
def test_unusable_dataflow_options_are_refused(changes: dict, given: tuple, words: str) -> None:
    with pytest.raises(UserError, match=words):
        completed(ScoreOptions(**{**LOCAL, **changes}, beam_flags=flags(*given)))


@pytest.mark.parametrize("project", ["--project=My Project", "--project=P", "--project=123456"])
def test_an_invalid_project_is_refused(project: str) -> None:
    given = ("--runner=DataflowRunner", "--region=europe-west4", IMAGE)
    with pytest.raises(UserError, match="--project is not the ID"):
        completed(ScoreOptions(**LOCAL, beam_flags=(*given, project)))


def test_missing_credentials_are_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(google, "credentials", lambda: None)
    with pytest.raises(UserError, match="gcloud auth application-default login"):
        run(ScoreOptions(**LOCAL, beam_flags=flags(IMAGE)))
    # Beam would go on without any, and tell of each of its tries.
    assert not caplog.records


@pytest.mark.parametrize(
    "start",
    [
        lambda place: pack_job.run(PackOptions((place,), "gs://b/packed", beam_flags=flags(IMAGE))),
        lambda place: compact_job.run(CompactOptions((place,), "gs://b/state", beam_flags=flags(IMAGE))),
    ],
    ids=["pack", "compact"],
)
def test_other_verbs_refuse_what_dataflow_cannot_reach_at_once(
    start: Callable, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="Dataflow workers cannot read a local input"):
        start(str(tmp_path))
