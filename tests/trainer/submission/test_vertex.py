import dataclasses
import json
import pathlib
import subprocess

import pytest
import yaml

from schemas.errors import UserError
from trainer.submission import vertex
from trainer.submission.cluster_options import VertexOptions
from trainer.submission.package import LOCKS, Package
from trainer.submission.request import Request
from trainer.submission.vertex import job_spec, submit, to_yaml
from trainer.train_options import TrainOptions

# Google's client takes seconds to import.
pytestmark = pytest.mark.slow

REQUEST = Request(
    "digits",
    TrainOptions(recipe="cnn", data="tfds:mnist", output="gs://b/run"),
    ("--recipe", "cnn", "--data", "tfds:mnist", "--output", "gs://b/run"),
    workers=3,
    gpus=2,
)
ON_CPUS = dataclasses.replace(REQUEST, workers=1, gpus=0)
OPTIONS = VertexOptions(
    project="p", region="europe-west4", image="registry/trainer:1", accelerator="NVIDIA_TESLA_T4"
)
WITHOUT = dataclasses.replace(OPTIONS, accelerator=None)
FULL = dataclasses.replace(
    OPTIONS,
    machine_type="n1-standard-16",
    spot=True,
    restart_job_on_worker_restart=True,
    service_account="trainer@p.iam.gserviceaccount.com",
    tensorboard="projects/p/locations/europe-west4/tensorboards/1",
)
PACKAGE = Package(
    pathlib.Path("digitmill-0.1.0.tar.gz"), tuple(pathlib.Path(name) for name in LOCKS), "ab" * 32
)
STAGED = dataclasses.replace(OPTIONS, image="python:3.12", staging="gs://b/staging")


def parsed(text: str) -> object:
    """The request as the service's own definition reads it; a field that it does not have is an error."""
    from google.cloud.aiplatform_v1 import CustomJobSpec

    return CustomJobSpec.from_json(json.dumps(yaml.safe_load(text)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_", "options", "package"),
    [
        (REQUEST, OPTIONS, None),
        (REQUEST, FULL, None),
        (REQUEST, STAGED, PACKAGE),
        (ON_CPUS, WITHOUT, None),
        (ON_CPUS, dataclasses.replace(STAGED, accelerator=None), PACKAGE),
    ],
    ids=["plain", "full", "staged", "cpus", "cpus-staged"],
)
def test_a_dry_run_prints_a_request_of_the_services_definition(request_, options, package):
    spec = parsed(to_yaml(request_, options, package))
    assert [pool.replica_count for pool in spec.worker_pool_specs] == ([1, 2] if request_ is REQUEST else [1])
    for pool in spec.worker_pool_specs:
        assert pool.machine_spec.accelerator_count == request_.gpus
        assert pool.container_spec.args[-1] == "--resume"


def test_the_first_line_is_the_command_that_takes_the_file():
    first = to_yaml(REQUEST, OPTIONS, None).splitlines()[0]
    assert first == (
        "# gcloud ai custom-jobs create --project=p --region=europe-west4 --display-name=digits --config=FILE"
    )


def test_everything_that_is_asked_for_is_there():
    spec = parsed(to_yaml(REQUEST, FULL, None))
    assert spec.scheduling.strategy.name == "SPOT"
    assert spec.scheduling.restart_job_on_worker_restart
    assert spec.service_account == "trainer@p.iam.gserviceaccount.com"
    assert spec.tensorboard.endswith("tensorboards/1")
    assert spec.base_output_directory.output_uri_prefix == "gs://b/run"
    machine = spec.worker_pool_specs[1].machine_spec
    assert (machine.machine_type, machine.accelerator_type.name) == ("n1-standard-16", "NVIDIA_TESLA_T4")
    assert list(spec.worker_pool_specs[0].container_spec.command) == ["python", "-m", "trainer.task"]


def test_a_plain_image_installs_the_staged_package_and_hands_the_flags_on(tmp_path):
    (pool, _) = job_spec(REQUEST, STAGED, PACKAGE)["workerPoolSpecs"]
    container = pool["containerSpec"]
    words = tmp_path / "words"
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nfor word; do echo "<$word>" >> {words}; done\n')
    program.chmod(0o755)
    odd = [*container["args"], "a b", "$(c)"]
    # As Vertex AI starts the container.
    subprocess.run([*container["command"], *odd], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    place = "/gcs/b/staging/abababababababab"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    locked = [*install, "--require-hashes", "--requirement"]
    assert [line[1:-1] for line in words.read_text().splitlines()] == [
        *[*locked, f"{place}/build.txt"],
        *[*locked, f"{place}/all.txt"],
        *[*locked, f"{place}/cuda.txt"],
        *[*install, f"{place}/digitmill-0.1.0.tar.gz"],
        *["-m", "trainer.task"],
        *odd,
    ]


@pytest.mark.parametrize("fails", ["build.txt", "cuda.txt", "digitmill"])
def test_what_cannot_be_installed_ends_the_container(tmp_path, fails):
    (pool, _) = job_spec(REQUEST, STAGED, PACKAGE)["workerPoolSpecs"]
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho "$@"\ncase "$*" in *{fails}*) exit 1;; esac\n')
    program.chmod(0o755)
    command = [*pool["containerSpec"]["command"], "--epochs", "1"]
    done = subprocess.run(
        command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert fails in done.stdout.splitlines()[-1]


def test_without_gpus_no_cuda_is_installed():
    assert "cuda" not in str(job_spec(ON_CPUS, dataclasses.replace(STAGED, accelerator=None), PACKAGE))


def test_vertexs_own_images_take_a_package_if_their_python_will_do():
    from google.cloud.aiplatform_v1 import CustomJobSpec

    image = "europe-docker.pkg.dev/vertex-ai/training/tf-gpu.2-21.py312:latest"
    spec = job_spec(REQUEST, dataclasses.replace(STAGED, image=image), PACKAGE)
    package = CustomJobSpec.from_json(json.dumps(spec)).worker_pool_specs[0].python_package_spec
    assert package.python_module == "trainer.task"
    assert list(package.package_uris) == ["gs://b/staging/abababababababab/digitmill-0.1.0.tar.gz"]
    assert package.executor_image_uri == image
    old = image.replace("2-21.py312", "2-17.py310")
    with pytest.raises(UserError, match=r"a Python older than 3\.11"):
        job_spec(REQUEST, dataclasses.replace(STAGED, image=old), PACKAGE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"staging": "staging"}, "--staging is not in gs://"),
        ({"tensorboard": "projects/p/locations/r/tensorboards/1"}, "needs a service account"),
        ({"tensorboard": "my-board"}, "--tensorboard is not the full name"),
        ({"service_account": "trainer"}, "--service-account is not"),
        ({"project": "My Project"}, "--project is not the ID"),
        ({"region": "atlantis"}, "--region is not"),
        ({"machine_type": "banana"}, "--machine-type is not"),
    ],
)
def test_options_that_do_not_go_together_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(OPTIONS, **change)


def test_gpus_of_no_kind_are_refused():
    with pytest.raises(UserError, match="--accelerator NVIDIA_TESLA_T4"):
        job_spec(REQUEST, dataclasses.replace(OPTIONS, accelerator=None), None)
    with pytest.raises(UserError, match="--accelerator NVIDIA_L4"):
        job_spec(REQUEST, dataclasses.replace(OPTIONS, accelerator=None, machine_type="g2-standard-12"), None)


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("nvidia-tesla-t4", "Did you mean NVIDIA_TESLA_T4"),
        ("NVIDIA_L5", "NVIDIA_L4"),
        ("gpu", "Choose one of"),
    ],
)
def test_gpus_that_the_service_does_not_know_are_refused_with_what_was_meant(kind, hint):
    with pytest.raises(UserError, match=hint):
        to_yaml(REQUEST, dataclasses.replace(OPTIONS, accelerator=kind), None)


def test_a_kind_of_gpu_for_workers_without_gpus_is_refused():
    with pytest.raises(UserError, match="--gpus-per-worker"):
        job_spec(ON_CPUS, OPTIONS, None)


def test_gpus_that_the_machine_does_not_take_are_refused():
    options = dataclasses.replace(OPTIONS, machine_type="a3-highgpu-8g")
    with pytest.raises(UserError, match="a3-highgpu-8g comes with 8 × NVIDIA_H100_80GB: '3 × NVIDIA_TESLA"):
        to_yaml(dataclasses.replace(REQUEST, gpus=3), options, None)


def test_a_local_folder_is_refused():
    local = dataclasses.replace(
        REQUEST, options=TrainOptions(recipe="cnn", data="folder:meters", output="gs://b/run")
    )
    with pytest.raises(UserError, match="workers cannot see the path of --data"):
        job_spec(local, OPTIONS, None)


def test_the_request_that_is_sent_is_the_one_that_a_dry_run_prints(rest_stand_in, monkeypatch):
    from google.cloud.aiplatform_v1 import CustomJobSpec

    service = rest_stand_in(lambda asked: (200, {"name": "projects/p/locations/europe-west4/customJobs/7"}))
    monkeypatch.setenv(vertex.ENDPOINT, f"{service.url}/")
    assert submit(REQUEST, FULL, None) == "projects/p/locations/europe-west4/customJobs/7"
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("POST", "/v1/projects/p/locations/europe-west4/customJobs")
    assert asked.body["displayName"] == "digits"
    sent = CustomJobSpec.from_json(json.dumps(asked.body["jobSpec"]))
    assert sent == parsed(to_yaml(REQUEST, FULL, None))


def test_what_the_service_refuses_is_one_line(rest_stand_in, monkeypatch):
    refusal = {"error": {"code": 400, "message": "no such machine", "status": "INVALID_ARGUMENT"}}
    service = rest_stand_in(lambda asked: (400, refusal))
    monkeypatch.setenv(vertex.ENDPOINT, service.url)
    with pytest.raises(UserError, match="no such machine") as refused:
        submit(REQUEST, OPTIONS, None)
    assert "\n" not in str(refused.value)
