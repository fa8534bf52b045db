"""Kubernetes: an Indexed Job, and a headless service by which its workers find each other."""

from typing import Any, Final

import yaml

from schemas.errors import ExitCode
from trainer.cluster import tf_config
from trainer.submission.cluster_options import KubernetesOptions
from trainer.submission.request import ENTRY_POINT, Request
from trainer.submission.tools import run_tool

_PORT: Final = 2222
_FAILURES: Final = 20
"""Pods that may fail before the job has; those that their node has lost do not count."""

_GRACE: Final = 120
"""Seconds from SIGTERM to SIGKILL, for the checkpoint."""


def manifest(request: Request, options: KubernetesOptions) -> list[dict[str, Any]]:
    """Returns service and job.

    Raises:
        UserError: when a path is where the pods do not see it, or no pod has the GPU of a kind.
    """
    request.check_accelerator(options.accelerator)
    request.check_paths(tuple(volume.path for volume in options.volumes))
    metadata: dict[str, Any] = {"name": request.name, "labels": _labels(request)}
    if options.namespace is not None:
        metadata["namespace"] = options.namespace
    service = {
        # Workers look for each other before they are ready, and after a restart.
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": _labels(request),
        "ports": [{"name": "grpc", "port": _PORT}],
    }
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": _job(request, options)},
    ]


def to_yaml(request: Request, options: KubernetesOptions) -> str:
    """Returns the manifest as `kubectl apply -f -` takes it."""
    documents = manifest(request, options)
    # No anchors: both share their metadata, and people read this.
    return "---\n".join(yaml.safe_dump(document, sort_keys=False) for document in documents)


def submit(request: Request, options: KubernetesOptions) -> str:
    """Applies the manifest by kubectl and returns what it says.

    Raises:
        UserError: when there is no kubectl, or it refuses.
    """
    return run_tool("kubectl", "apply", "--filename", "-", given=to_yaml(request, options))


def _labels(request: Request) -> dict[str, str]:
    return {"app.kubernetes.io/name": "digitmill", "app.kubernetes.io/instance": request.name}


def _job(request: Request, options: KubernetesOptions) -> dict[str, Any]:
    return {
        "completionMode": "Indexed",
        "completions": request.workers,
        "parallelism": request.workers,
        "backoffLimit": _FAILURES,
        "podFailurePolicy": {"rules": _failure_rules()},
        "template": {"metadata": {"labels": _labels(request)}, "spec": _pod(request, options)},
    }


def _failure_rules() -> list[dict[str, Any]]:
    def on_exit(action: str, code: ExitCode) -> dict[str, Any]:
        codes = {"containerName": "trainer", "operator": "In", "values": [int(code)]}
        return {"action": action, "onExitCodes": codes}

    return [
        # What cannot be used now cannot be used the next time either.
        on_exit("FailJob", ExitCode.USAGE),
        # Saved, and to be gone on with; so is what a node takes along that goes away.
        on_exit("Ignore", ExitCode.TERMINATED),
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]


def _pod(request: Request, options: KubernetesOptions) -> dict[str, Any]:
    pod: dict[str, Any] = {
        # With the service's name, each pod is NAME-INDEX.NAME to the others, on whatever node it is.
        "subdomain": request.name,
        "restartPolicy": "Never",  # the job starts another pod of the same index, which resumes
        "terminationGracePeriodSeconds": _GRACE,
        "containers": [_container(request, options)],
        "volumes": _volumes(options),
    }
    if options.service_account is not None:
        pod["serviceAccountName"] = options.service_account
    selector = {}
    if options.accelerator is not None:
        selector["cloud.google.com/gke-accelerator"] = options.accelerator
    if options.spot:
        selector["cloud.google.com/gke-spot"] = "true"
    if selector:
        pod["nodeSelector"] = selector
    return pod


def _container(request: Request, options: KubernetesOptions) -> dict[str, Any]:
    hosts = [f"{request.name}-{index}.{request.name}:{_PORT}" for index in range(request.workers)]
    gpus = {"nvidia.com/gpu": str(request.gpus)} if request.gpus else {}
    return {
        "name": "trainer",
        "image": options.image,
        "command": list(ENTRY_POINT),
        "args": request.flags,
        "env": [{"name": tf_config.WORKERS, "value": ",".join(hosts)}],
        "ports": [{"name": "grpc", "containerPort": _PORT}],
        "resources": {
            "requests": {"cpu": options.cpus, "memory": options.memory} | gpus,
            "limits": {"memory": options.memory} | gpus,
        },
        "securityContext": {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumeMounts": [
            *(
                {"name": _volume(number), "mountPath": volume.path}
                for number, volume in enumerate(options.volumes)
            ),
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }


def _volume(number: int) -> str:
    """Not the claim's name: that may have dots, and one claim may be mounted twice."""
    return f"shared-{number}"


def _volumes(options: KubernetesOptions) -> list[dict[str, Any]]:
    claims = [
        {"name": _volume(number), "persistentVolumeClaim": {"claimName": volume.claim}}
        for number, volume in enumerate(options.volumes)
    ]
    # NCCL exchanges between GPUs of one pod through /dev/shm, of which containers have 64 MB.
    return [*claims, {"name": "shared-memory", "emptyDir": {"medium": "Memory"}}]
