"""The pods of a training on Kubernetes, the same in a Job and in a JobSet."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from trainer.cluster import tf_config
from trainer.submission.cluster_options import KubernetesOptions
from trainer.submission.pod_parts import Secret, Toleration, Volume
from trainer.submission.request import ENTRY_POINT, Request

CONTAINER: Final = "trainer"
PORT: Final = 2222

_USER: Final = 10001
"""The user of `deploy/training/trainer.Dockerfile`."""

_GRACE: Final = 120
"""Seconds from SIGTERM to SIGKILL, for the checkpoint."""

_GPU: Final = "nvidia.com/gpu"


def pod(request: Request, options: KubernetesOptions, *, hosts: Sequence[str]) -> dict[str, Any]:
    """Return the specification of each pod.

    Args:
        request: the training.
        options: how the pods are.
        hosts: name of each worker's host, the chief first.
    """
    spec: dict[str, Any] = {
        "restartPolicy": "Never",  # the job starts a new pod of the same index, which resumes
        "terminationGracePeriodSeconds": _GRACE,
        "containers": [_container(request, options, hosts=hosts)],
        "volumes": [{"name": name, **source} for name, source, _ in _volumes(options)],
    }
    if options.volumes:
        # The image's user is not root, and a volume belongs to root unless its group is changed.
        spec["securityContext"] = {"fsGroup": _USER, "fsGroupChangePolicy": "OnRootMismatch"}
    if options.service_account is not None:
        spec["serviceAccountName"] = options.service_account
    if options.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.pull_secrets]
    if selector := _node_selector(options):
        spec["nodeSelector"] = selector
    if tolerations := [each.as_data() for each in _tolerations(request, options)]:
        spec["tolerations"] = tolerations
    return spec


def _node_selector(options: KubernetesOptions) -> dict[str, str]:
    selector = {label.key: label.value for label in options.node_labels}
    if options.accelerator is not None:
        selector["cloud.google.com/gke-accelerator"] = options.accelerator
    if options.spot:
        selector["cloud.google.com/gke-spot"] = "true"
    return selector


def _tolerations(request: Request, options: KubernetesOptions) -> Iterator[Toleration]:
    """Yield what is asked for and, for GPUs, what clusters such as GKE add to pods by themselves."""
    if request.gpus and _GPU not in {each.key for each in options.tolerations}:
        yield Toleration(_GPU, effect="NoSchedule")
    yield from options.tolerations


def _container(request: Request, options: KubernetesOptions, *, hosts: Sequence[str]) -> dict[str, Any]:
    gpus = {_GPU: str(request.gpus)} if request.gpus else {}
    workers = ",".join(f"{host}:{PORT}" for host in hosts)
    container = {
        "name": CONTAINER,
        "image": options.image,
        "command": list(ENTRY_POINT),
        "args": request.flags,
        "env": [
            {"name": tf_config.WORKERS, "value": workers},
            *({"name": variable.name, "value": variable.value} for variable in options.env),
        ],
        "ports": [{"name": "grpc", "containerPort": PORT}],
        "resources": {
            "requests": {"cpu": options.cpus or request.default_cpus, "memory": options.memory} | gpus,
            "limits": {"memory": options.memory} | gpus,
        },
        "securityContext": {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumeMounts": [{"name": name, **mount} for name, _, mount in _volumes(options)],
    }
    if variables := [each.name for each in options.secrets if each.path is None]:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in variables]
    return container


def _volumes(options: KubernetesOptions) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield each volume's name, source and mount.

    Volumes are numbered: a claim's name may have dots, or be mounted twice.
    """
    files = [secret for secret in options.secrets if secret.path is not None]
    mounted: list[tuple[str, Volume | Secret]] = [
        *((f"shared-{number}", volume) for number, volume in enumerate(options.volumes)),
        *((f"secret-{number}", secret) for number, secret in enumerate(files)),
    ]
    for name, volume in mounted:
        read_only = {"readOnly": True} if isinstance(volume, Secret) else {}
        yield name, volume.source, {"mountPath": volume.path, **read_only}
    # NCCL needs more /dev/shm between the GPUs of a pod than a container's 64 MB.
    limit = {} if options.shm_size is None else {"sizeLimit": options.shm_size}
    yield "shared-memory", {"emptyDir": {"medium": "Memory", **limit}}, {"mountPath": "/dev/shm"}
