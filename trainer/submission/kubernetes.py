"""Kubernetes: an Indexed Job, and a headless service through which its workers find each other."""

from typing import Any, Final

import yaml

from schemas.errors import ExitCode
from trainer.cluster import tf_config
from trainer.submission.cluster_options import KubernetesOptions
from trainer.submission.request import ENTRY_POINT, Request, run_tool

_PORT: Final = 2222
_USER: Final = 10001
"""The user of `deploy/training/trainer.Dockerfile`."""

_FAILURES: Final = 20
"""Pods that may fail before the job fails; pods lost with their node don't count."""

_GRACE: Final = 120
"""Seconds from SIGTERM to SIGKILL, for the checkpoint."""


def manifest(request: Request, options: KubernetesOptions) -> list[dict[str, Any]]:
    """Return service and job; raise UserError for paths and kinds of GPUs that pods can't use."""
    request.check_accelerator(options.accelerator)
    request.check_paths(tuple(volume.path for volume in options.volumes))
    metadata: dict[str, Any] = {"name": request.name, "labels": _labels(request)}
    if options.namespace is not None:
        metadata["namespace"] = options.namespace
    service = {
        # Workers find each other before they are ready, and after a restart.
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
    """Return the manifest as YAML for `kubectl apply -f -`."""
    documents = manifest(request, options)
    # Dumped one by one, so that the shared metadata doesn't become an anchor.
    return "---\n".join(yaml.safe_dump(document, sort_keys=False) for document in documents)


def submit(request: Request, options: KubernetesOptions) -> str:
    """Apply the manifest with kubectl and return what it prints; raise UserError if it fails."""
    return run_tool("kubectl", "apply", "--filename", "-", stdin=to_yaml(request, options))


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
        # An unusable option stays unusable.
        on_exit("FailJob", ExitCode.USAGE),
        # Preempted and saved, or lost with its node: restart without counting a failure.
        on_exit("Ignore", ExitCode.TERMINATED),
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]


def _pod(request: Request, options: KubernetesOptions) -> dict[str, Any]:
    pod: dict[str, Any] = {
        # With the service's name as subdomain, each pod is NAME-INDEX.NAME on every node.
        "subdomain": request.name,
        "restartPolicy": "Never",  # the job starts a new pod of the same index, which resumes
        "terminationGracePeriodSeconds": _GRACE,
        "containers": [_container(request, options)],
        "volumes": _volumes(options),
    }
    if options.volumes:
        # The image's user is not root, and a volume belongs to root unless its group is changed.
        pod["securityContext"] = {"fsGroup": _USER, "fsGroupChangePolicy": "OnRootMismatch"}
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
    """Return a volume's name; a claim's name may have dots, or be mounted twice."""
    return f"shared-{number}"


def _volumes(options: KubernetesOptions) -> list[dict[str, Any]]:
    claims = [
        {"name": _volume(number), "persistentVolumeClaim": {"claimName": volume.claim}}
        for number, volume in enumerate(options.volumes)
    ]
    # NCCL needs more /dev/shm between the GPUs of a pod than a container's 64 MB.
    return [*claims, {"name": "shared-memory", "emptyDir": {"medium": "Memory"}}]
