"""Kubernetes: an Indexed Job with the headless service of its workers, or a JobSet, which brings its own."""

from collections.abc import Sequence
from typing import Any, Final

import yaml

from schemas.errors import ExitCode, UserError
from trainer.submission.cluster_options import KubernetesOptions
from trainer.submission.pods import CONTAINER, PORT, pod
from trainer.submission.request import Request, run_tool

_FAILURES: Final = 20
"""Pods that may fail before the job fails; pods lost with their node don't count."""

_WORKERS: Final = "workers"
"""Name of the job in a JobSet."""

_CACHE: Final = "digitmill-cache"
"""Folder for decoded images on the first volume."""

_MAX_HOST: Final = 63
"""Characters of a host name."""

_QUEUE: Final = "kueue.x-k8s.io/queue-name"


def manifest(request: Request, options: KubernetesOptions) -> list[dict[str, Any]]:
    """Return the objects to create: a service and a job, or a JobSet.

    Raises:
        UserError: if pods can't use a path or a kind of GPU, or a host's name would be too long.
    """
    request.check_accelerator(options.accelerator)
    mounts = tuple(volume.path for volume in options.volumes)
    request.check_paths(mounts)
    if mounts:
        # A pod's own disk is lost with it: the next one would decode all images again.
        request = request.with_cache(f"{mounts[0]}/{_CACHE}")
    if options.kind == "jobset":
        return [_job_set(request, options)]
    return [_service(request, options), _job(request, options)]


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


def _metadata(request: Request, options: KubernetesOptions, *, queued: bool) -> dict[str, Any]:
    # Kueue suspends what has this label, and resumes it when there is room for all pods.
    queue = {_QUEUE: options.queue} if queued and options.queue is not None else {}
    metadata: dict[str, Any] = {"name": request.name, "labels": _labels(request) | queue}
    if options.namespace is not None:
        metadata["namespace"] = options.namespace
    return metadata


def _service(request: Request, options: KubernetesOptions) -> dict[str, Any]:
    spec = {
        # Workers find each other before they are ready, and after a restart.
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": _labels(request),
        "ports": [{"name": "grpc", "port": PORT}],
    }
    metadata = _metadata(request, options, queued=False)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _job(request: Request, options: KubernetesOptions) -> dict[str, Any]:
    # With the service's name as subdomain, each pod is NAME-INDEX.NAME on every node.
    spec = _job_spec(request, options, hosts=_hosts(request, job=request.name))
    spec["template"]["spec"]["subdomain"] = request.name
    metadata = _metadata(request, options, queued=True)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec | _ttl(options)}


def _job_set(request: Request, options: KubernetesOptions) -> dict[str, Any]:
    """Return a JobSet of one job; if that fails for good, so does the set, as it has no failure policy."""
    # The number is the job's among its copies, of which there is one.
    hosts = _hosts(request, job=f"{request.name}-{_WORKERS}-0")
    workers = {"name": _WORKERS, "template": {"spec": _job_spec(request, options, hosts=hosts)}}
    network = {"enableDNSHostnames": True, "subdomain": request.name, "publishNotReadyAddresses": True}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": _metadata(request, options, queued=True),
        "spec": {"network": network, "replicatedJobs": [workers]} | _ttl(options),
    }


def _hosts(request: Request, *, job: str) -> list[str]:
    names = [f"{job}-{index}" for index in range(request.workers)]
    if len(names[-1]) > _MAX_HOST:
        raise UserError(
            f"--name is too long: the last worker's host would have {len(names[-1])} characters, "
            f"more than {_MAX_HOST}",
            value=request.name,
            hint="give a shorter name",
        )
    return [f"{name}.{request.name}" for name in names]


def _ttl(options: KubernetesOptions) -> dict[str, int]:
    return {} if options.ttl is None else {"ttlSecondsAfterFinished": options.ttl}


def _job_spec(request: Request, options: KubernetesOptions, *, hosts: Sequence[str]) -> dict[str, Any]:
    return {
        "completionMode": "Indexed",
        "completions": request.workers,
        "parallelism": request.workers,
        "backoffLimit": _FAILURES,
        **({} if options.deadline is None else {"activeDeadlineSeconds": options.deadline}),
        "podFailurePolicy": {"rules": _failure_rules()},
        "template": {
            "metadata": {"labels": _labels(request)},
            "spec": pod(request, options, hosts=hosts),
        },
    }


def _failure_rules() -> list[dict[str, Any]]:
    def on_exit(action: str, code: ExitCode) -> dict[str, Any]:
        codes = {"containerName": CONTAINER, "operator": "In", "values": [int(code)]}
        return {"action": action, "onExitCodes": codes}

    return [
        # An unusable option stays unusable.
        on_exit("FailJob", ExitCode.USAGE),
        # Preempted and saved, or lost with its node: restart without counting a failure.
        on_exit("Ignore", ExitCode.TERMINATED),
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
