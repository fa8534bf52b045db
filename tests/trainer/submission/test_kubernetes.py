import dataclasses
import pathlib
import re

import jsonschema
import kubernetes_validate
import pytest
import yaml

from schemas.errors import UserError
from tests.custom_resources import closed
from trainer.cluster import tf_config
from trainer.submission.cluster_options import KubernetesOptions
from trainer.submission.kubernetes import manifest, submit, to_yaml
from trainer.submission.pod_parts import NodeLabel, Secret, Toleration, Variable, Volume
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
    queue="vision-queue",
    shm_size="8Gi",
    node_labels=(NodeLabel("nvidia.com/gpu.product", "NVIDIA-L4"),),
    tolerations=(
        Toleration("dedicated", "training", "NoExecute"),
        Toleration("cloud.google.com/gke-spot", "true"),
    ),
    pull_secrets=("registry",),
    env=(Variable("NCCL_DEBUG", "INFO"),),
    secrets=(Secret("wandb"), Secret("s3-credentials", "/etc/s3")),
    deadline=86_400,
    ttl=3600,
)
ON_CPUS = dataclasses.replace(REQUEST, workers=1, gpus=0)
JOB_SETS = [dataclasses.replace(each, kind="jobset") for each in (PLAIN, FULL)]


def pod(options: KubernetesOptions, request: Request = REQUEST) -> dict:
    return manifest(request, options)[1]["spec"]["template"]["spec"]


LATEST = kubernetes_validate.latest_version()


@pytest.mark.parametrize(
    ("version", "options", "request_"),
    [
        ("1.31", FULL, REQUEST),
        (LATEST, FULL, REQUEST),
        (LATEST, PLAIN, REQUEST),
        (LATEST, PLAIN, ON_CPUS),
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


def validate_job_set(document: dict) -> None:
    schema = yaml.safe_load((pathlib.Path(__file__).parent / "jobset_v1alpha2.yaml").read_text())
    schema["properties"]["metadata"] = {}
    jsonschema.Draft7Validator(closed(schema)).validate(document)
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": document["metadata"]}, LATEST, strict=True
    )
    for job in document["spec"]["replicatedJobs"]:
        whole = {"apiVersion": "batch/v1", "kind": "Job", **job["template"]}
        kubernetes_validate.validate(whole, LATEST, strict=True)


@pytest.mark.parametrize(
    ("request_", "options"), [*((REQUEST, options) for options in JOB_SETS), (ON_CPUS, JOB_SETS[0])]
)
def test_a_job_set_is_of_the_published_schema(request_, options):
    (document,) = yaml.safe_load_all(to_yaml(request_, options))
    assert document["kind"] == "JobSet"
    validate_job_set(document)


@pytest.mark.parametrize(
    "mistake",
    [
        {"network": {"subDomain": "digits"}},
        {"replicatedJobs": [{"name": "workers"}]},
        {"ttlSecondsAfterFinished": -1},
        {"successPolicy": {"operator": "Most"}},
    ],
)
def test_the_validation_would_see_a_mistake_in_a_job_set(mistake):
    (document,) = manifest(REQUEST, JOB_SETS[0])
    document["spec"] |= mistake
    with pytest.raises(jsonschema.ValidationError):
        validate_job_set(document)


def environment_of(container: dict) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_the_workers_of_a_job_set_find_each_other_by_the_names_that_it_gives_them():
    (document,) = manifest(REQUEST, JOB_SETS[0])
    spec = document["spec"]
    (job,) = spec["replicatedJobs"]
    # SET-JOB-COPY-INDEX.SUBDOMAIN, by JobSet's documentation of enableDNSHostnames.
    assert spec["network"]["enableDNSHostnames"]
    first = f"{document['metadata']['name']}-{job['name']}-0-0.{spec['network']['subdomain']}:2222"
    container = job["template"]["spec"]["template"]["spec"]["containers"][0]
    workers = environment_of(container)[tf_config.WORKERS].split(",")
    assert workers[0] == first == "digits-workers-0-0.digits:2222"
    assert len(set(workers)) == job["template"]["spec"]["completions"] == 3


def test_a_job_set_trains_as_a_job_does():
    (document,) = manifest(REQUEST, JOB_SETS[1])
    (of_set,) = (each["template"]["spec"] for each in document["spec"]["replicatedJobs"])
    job = manifest(REQUEST, FULL)[1]["spec"]
    # The set is deleted as a whole, and gives its pods their names.
    assert document["spec"]["ttlSecondsAfterFinished"] == job.pop("ttlSecondsAfterFinished")
    for each in (of_set, job):
        del each["template"]["spec"]["containers"][0]["env"][0]
    del job["template"]["spec"]["subdomain"]
    assert of_set == job


def test_a_host_name_that_would_be_too_long_is_refused():
    long = dataclasses.replace(REQUEST, name="d" * 53)
    manifest(long, PLAIN)
    with pytest.raises(UserError, match="would have 65 characters, more than 63"):
        manifest(long, JOB_SETS[0])


def test_every_pod_finds_its_place_by_its_completion_index():
    container = pod(PLAIN)["containers"][0]
    environment = environment_of(container)
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


def test_pods_have_four_cores_for_each_gpu_unless_told():
    def cores(request_, options):
        return pod(options, request_)["containers"][0]["resources"]["requests"]["cpu"]

    assert cores(REQUEST, PLAIN) == "8"
    assert cores(ON_CPUS, PLAIN) == "4"
    assert cores(REQUEST, FULL) == "7500m"


@pytest.mark.parametrize("kind", ["job", "jobset"])
def test_everything_that_is_asked_for_is_there(kind):
    documents = manifest(REQUEST, dataclasses.replace(FULL, kind=kind))
    assert {document["metadata"]["namespace"] for document in documents} == {"vision"}
    # Kueue admits what has this label; a service has nothing to wait for.
    queues = [document["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") for document in documents]
    assert queues == {"job": [None, "vision-queue"], "jobset": ["vision-queue"]}[kind]
    whole = documents[-1]["spec"]
    assert whole["ttlSecondsAfterFinished"] == 3600
    job = whole if kind == "job" else whole["replicatedJobs"][0]["template"]["spec"]
    assert job["activeDeadlineSeconds"] == 86_400
    spec = job["template"]["spec"]
    assert spec["serviceAccountName"] == "trainer"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["nodeSelector"] == {
        "nvidia.com/gpu.product": "NVIDIA-L4",
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "cloud.google.com/gke-spot": "true",
    }
    (container,) = spec["containers"]
    assert environment_of(container)["NCCL_DEBUG"] == "INFO"
    assert container["envFrom"] == [{"secretRef": {"name": "wandb"}}]


def test_what_is_mounted_is_where_it_was_asked_for():
    assert mounted(FULL) == {
        "/mnt/train": {"persistentVolumeClaim": {"claimName": "train-data"}},
        "/etc/s3": {"secret": {"secretName": "s3-credentials"}},
        "/dev/shm": {"emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
    }
    mounts = {mount["mountPath"]: mount for mount in pod(FULL)["containers"][0]["volumeMounts"]}
    assert mounts["/etc/s3"]["readOnly"]
    assert "readOnly" not in mounts["/mnt/train"]


def test_decoded_images_are_kept_on_the_first_volume_where_the_next_pod_finds_them():
    def cache(options, **more):
        train = dataclasses.replace(REQUEST.options, **more)
        args = pod(options, dataclasses.replace(REQUEST, options=train))["containers"][0]["args"]
        return args[args.index("--cache-dir") + 1] if "--cache-dir" in args else None

    assert cache(FULL) == "/mnt/train/digitmill-cache"
    assert cache(PLAIN) is None
    assert cache(FULL, cache_dir=pathlib.Path("/scratch")) is None


def test_pods_with_gpus_tolerate_the_taint_of_gpus():
    of_gpus = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert pod(PLAIN)["tolerations"] == [of_gpus]
    assert pod(FULL)["tolerations"] == [
        of_gpus,
        {"key": "dedicated", "operator": "Equal", "value": "training", "effect": "NoExecute"},
        {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"},
    ]
    assert "tolerations" not in pod(PLAIN, ON_CPUS)
    own = dataclasses.replace(PLAIN, tolerations=(Toleration.of("nvidia.com/gpu=present:NoExecute"),))
    assert [each["effect"] for each in pod(own)["tolerations"]] == ["NoExecute"]


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
        ({"namespace": "Vision Team"}, "--namespace is not"),
        ({"service_account": "trainer@p.iam.gserviceaccount.com"}, "--service-account is not the name of"),
        ({"cpus": "four"}, "--cpus is not a number of cores"),
        ({"memory": "16GB"}, "--memory is not an amount"),
        ({"accelerator": "NVIDIA_TESLA_T4"}, "--accelerator is not"),
        ({"queue": "Vision/Queue"}, "--queue is not"),
        ({"pull_secrets": ("Registry Key",)}, "--pull-secret is not the name"),
        ({"shm_size": "8GB"}, "--shm-size is not an amount"),
        ({"shm_size": "31Gi"}, "--shm-size is larger than --memory 30Gi"),
        ({"shm_size": "40G", "memory": "32Gi"}, "--shm-size is larger than --memory"),
        ({"kind": "pod"}, "invalid --kind"),
        ({"deadline": 0}, "invalid --deadline"),
        ({"ttl": -1}, "invalid --ttl"),
        ({"secrets": (Secret("a", "/mnt/train"),)}, "two volumes have the same path: '/mnt/train'"),
        ({"volumes": (Volume("a", "/dev/shm"),)}, "two volumes have the same path"),
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
    with pytest.raises(UserError, match="workers cannot see the path of --output"):
        manifest(local, PLAIN)


@pytest.mark.parametrize("text", ["claim", ":/x", "claim:x", "claim:/", "", "Claim_1:/x"])
def test_a_volume_is_a_claim_and_a_path(text):
    with pytest.raises(UserError, match="--volume"):
        Volume.of(text)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (Secret, "wandb", Secret("wandb")),
        (Secret, "s3.keys:/etc/s3/", Secret("s3.keys", "/etc/s3")),
        (Variable, "A_1=b=c d", Variable("A_1", "b=c d")),
        (Variable, "EMPTY=", Variable("EMPTY", "")),
        (NodeLabel, "nvidia.com/gpu.product=NVIDIA-L4", NodeLabel("nvidia.com/gpu.product", "NVIDIA-L4")),
        (Toleration, "dedicated", Toleration("dedicated")),
        (Toleration, "a.b/c=d:NoExecute", Toleration("a.b/c", "d", "NoExecute")),
        (Toleration, "key=:PreferNoSchedule", Toleration("key", "", "PreferNoSchedule")),
        (Toleration, "key:NoSchedule", Toleration("key", None, "NoSchedule")),
    ],
)
def test_a_flag_s_value_is_read(kind, text, expected):
    assert kind.of(text) == expected


@pytest.mark.parametrize(
    ("kind", "flag", "texts"),
    [
        (Secret, "--secret", ["", ":/x", "a:", "a:x", "a:/", "A_1"]),
        (Variable, "--env", ["", "A", "=b", "1A=b", "A-B=c", "TF_CONFIG={}", "DIGITMILL_WORKERS=a:1"]),
        (NodeLabel, "--node-selector", ["", "a", "=b", "a=b c", "a/b/c=d"]),
        (Toleration, "--toleration", ["", "a:Never", "a:", "a=b c", "=b", "a b"]),
    ],
)
def test_a_flag_s_value_of_another_form_is_refused(kind, flag, texts):
    for text in texts:
        with pytest.raises(UserError, match=flag):
            kind.of(text)


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
