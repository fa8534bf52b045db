import dataclasses
import pathlib
import re

import kubernetes_validate
import pytest
import yaml

from schemas.errors import UserError
from trainer.cluster import tf_config
from trainer.submission.cluster_options import KubernetesOptions, Volume
from trainer.submission.kubernetes import manifest, submit, to_yaml
from trainer.submission.request import Request
from trainer.train_options import TrainOptions

REQUEST = Request(
    "digits",
    TrainOptions(recipe="cnn", data="tfds:mnist", output="gs://b/run"),
    ("--recipe", "cnn", "--output", "gs://b/run"),
    workers=3,
    gpus=2,
)
PLAIN = KubernetesOptions(image="registry/trainer:1")
FULL = KubernetesOptions(
    image="registry/trainer:1",
    namespace="vision",
    service_account="trainer",
    volumes=(Volume("train-data", "/mnt/train"),),
    cpus="7500m",
    memory="30Gi",
    accelerator="nvidia-l4",
    spot=True,
)


def pod(options: KubernetesOptions, request: Request = REQUEST) -> dict:
    return manifest(request, options)[1]["spec"]["template"]["spec"]


LATEST = kubernetes_validate.latest_version()


@pytest.mark.parametrize(
    ("version", "options", "request_"),
    [
        ("1.31", FULL, REQUEST),
        (LATEST, FULL, REQUEST),
        (LATEST, PLAIN, REQUEST),
        (LATEST, PLAIN, dataclasses.replace(REQUEST, workers=1, gpus=0)),
    ],
)
def test_the_manifest_is_of_the_published_schemas(version, options, request_):
    documents = list(yaml.safe_load_all(to_yaml(request_, options)))
    assert [document["kind"] for document in documents] == ["Service", "Job"]
    for document in documents:
        # Strict: a misspelt field is refused, not ignored.
        kubernetes_validate.validate(document, version, strict=True)


def test_the_validation_would_see_a_misspelt_field():
    job = manifest(REQUEST, PLAIN)[1]
    job["spec"]["backofLimit"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, LATEST, strict=True)


def test_every_pod_finds_its_place_by_its_completion_index():
    container = pod(PLAIN)["containers"][0]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    places = []
    for index in range(REQUEST.workers):
        # What Kubernetes adds to each pod of an Indexed Job.
        own = {**environment, "JOB_COMPLETION_INDEX": str(index)}
        tf_config.set_from_launcher(own)
        places.append(tf_config.read(own))
    assert places == [tf_config.Cluster(workers=3, index=index) for index in range(3)]
    service, job = manifest(REQUEST, PLAIN)
    hosts = environment[tf_config.WORKERS].split(",")
    # NAME-INDEX is the host's name of a pod, the headless service its domain.
    assert hosts == [f"{job['metadata']['name']}-{n}.{service['metadata']['name']}:2222" for n in range(3)]
    assert pod(PLAIN)["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"]
    assert service["spec"]["selector"] == job["spec"]["template"]["metadata"]["labels"]


def test_every_worker_has_a_pod_at_the_same_time():
    job = manifest(REQUEST, PLAIN)[1]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 3, 3)


def test_a_pod_that_is_lost_resumes_and_one_that_cannot_work_ends_the_job():
    job = manifest(REQUEST, PLAIN)[1]["spec"]
    container = pod(PLAIN)["containers"][0]
    assert container["command"] == ["python", "-m", "trainer.task"]
    assert container["args"][-1] == "--resume"
    # Required with a podFailurePolicy; the job makes the next pod.
    assert pod(PLAIN)["restartPolicy"] == "Never"
    assert job["backoffLimit"] > 0
    rules = {
        (rule["action"], *rule.get("onExitCodes", {}).get("values", ["disrupted"]))
        for rule in job["podFailurePolicy"]["rules"]
    }
    assert rules == {("FailJob", 2), ("Ignore", 143), ("Ignore", "disrupted")}


def test_gpus_are_limited_and_a_pod_without_asks_for_none():
    resources = pod(PLAIN)["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "2"
    assert "gpu" not in str(pod(PLAIN, dataclasses.replace(REQUEST, gpus=0))["containers"][0]["resources"])


def test_everything_that_is_asked_for_is_there():
    documents = manifest(REQUEST, FULL)
    assert {document["metadata"]["namespace"] for document in documents} == {"vision"}
    spec = pod(FULL)
    assert spec["serviceAccountName"] == "trainer"
    assert spec["nodeSelector"] == {
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "cloud.google.com/gke-spot": "true",
    }
    assert mounted(FULL)["/mnt/train"] == {"persistentVolumeClaim": {"claimName": "train-data"}}


def test_the_image_s_user_may_write_to_volumes():
    dockerfile = (pathlib.Path(__file__).parents[3] / "deploy/training/trainer.Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)
    assert pod(FULL)["securityContext"]["fsGroup"] == int(user)


def mounted(options: KubernetesOptions) -> dict:
    """What pods see, by where they see it."""
    spec = pod(options)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert len(volumes) == len(spec["volumes"])
    return {
        mount["mountPath"]: {kind: what for kind, what in volumes[mount["name"]].items() if kind != "name"}
        for mount in spec["containers"][0]["volumeMounts"]
    }


def test_a_claim_may_have_dots_and_be_mounted_twice():
    options = KubernetesOptions(
        image="i", volumes=(Volume("nfs.data", "/mnt/a"), Volume("nfs.data", "/mnt/b"))
    )
    claim = {"persistentVolumeClaim": {"claimName": "nfs.data"}}
    found = mounted(options)
    assert found == {"/mnt/a": claim, "/mnt/b": claim, "/dev/shm": {"emptyDir": {"medium": "Memory"}}}
    # A volume is named as a host is: without dots.
    assert all(re.fullmatch("[a-z0-9-]+", volume["name"]) for volume in pod(options)["volumes"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"namespace": "Vision Team"}, "--namespace must be"),
        ({"service_account": "trainer@p.iam.gserviceaccount.com"}, "--service-account must be the name of"),
        ({"cpus": "four"}, "--cpus must be a number of cores"),
        ({"memory": "16GB"}, "--memory must be an amount"),
        ({"accelerator": "NVIDIA_TESLA_T4"}, "--accelerator must be"),
    ],
)
def test_what_the_cluster_would_not_take_is_refused(change, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(FULL, **change)


def test_a_kind_of_gpu_for_pods_without_gpus_is_refused():
    with pytest.raises(UserError, match="--gpus-per-worker"):
        manifest(dataclasses.replace(REQUEST, gpus=0), dataclasses.replace(PLAIN, accelerator="nvidia-l4"))


def test_a_folder_that_no_pod_sees_is_refused():
    local = dataclasses.replace(
        REQUEST, options=TrainOptions(recipe="cnn", data="sample", output="/mnt/train/run")
    )
    manifest(local, FULL)
    with pytest.raises(UserError, match="workers do not see the path of --output"):
        manifest(local, PLAIN)


@pytest.mark.parametrize("text", ["claim", ":/x", "claim:x", "claim:/", "", "Claim_1:/x"])
def test_a_volume_is_a_claim_and_a_path(text):
    with pytest.raises(UserError, match="--volume"):
        Volume.of(text)


def test_kubectl_gets_the_manifest_that_a_dry_run_prints(tmp_path, monkeypatch):
    tool = tmp_path / "kubectl"
    tool.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/given\necho created\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert submit(REQUEST, PLAIN) == "created"
    assert (tmp_path / "given").read_text() == to_yaml(REQUEST, PLAIN)
    assert (tmp_path / "arguments").read_text() == "apply --filename -\n"


def test_what_kubectl_refuses_is_one_line(tmp_path, monkeypatch):
    tool = tmp_path / "kubectl"
    tool.write_text("#!/bin/sh\ncat > /dev/null\necho field is immutable >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UserError, match="field is immutable"):
        submit(REQUEST, PLAIN)


def test_without_kubectl_the_remedy_is_the_dry_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="--dry-run"):
        submit(REQUEST, PLAIN)
