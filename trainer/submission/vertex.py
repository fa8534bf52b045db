"""Vertex AI: a CustomJob, as an API request and as a file for `gcloud`."""

import difflib
import json
import os
import re
import shlex
from typing import Any, Final

import yaml

from digitmill.storage.object_stores.uris import GS
from schemas.errors import UserError
from trainer.submission import vertex_machines
from trainer.submission.cluster_options import VertexOptions
from trainer.submission.package import CUDA, Package
from trainer.submission.request import ENTRY_POINT, Request

ENDPOINT: Final = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"
"""Environment variable with another address of the service, which gcloud also reads."""

_PREBUILT: Final = re.compile(r".*-docker\.pkg\.dev/vertex-ai/training/.*\.py(?P<version>3\d+)\b.*")
_OLDEST: Final = 311
"""Python 3.11 in the names of Vertex AI's images."""

# --no-deps: the locks are whole, and what is in none is not installed.
_PIP: Final = "python -m pip install --quiet --no-deps --no-build-isolation"
_INSTALL: Final = (
    f'for lock in {{locks}}; do {_PIP} --require-hashes --requirement "{{place}}/$lock" || exit; done; '
    f'{_PIP} "{{place}}/{{package}}" && exec {{entry}} "$@"'
)


def job_spec(request: Request, options: VertexOptions, package: Package | None) -> dict[str, Any]:
    """Return the CustomJobSpec as a JSON object; `package` is None if the image has digitmill.

    Raises:
        UserError: if a path is not in `gs://`, the kind of GPU is missing or unknown, the machine doesn't
            take it, or the image can't run digitmill.
    """
    request.check_paths()
    _check_accelerator(request, options)
    vertex_machines.check(options.machine_type, options.accelerator, request.gpus)
    pool = _pool(request, options, package)
    pools = [pool | {"replicaCount": "1"}]
    if request.workers > 1:
        pools.append(pool | {"replicaCount": str(request.workers - 1)})
    spec: dict[str, Any] = {
        "workerPoolSpecs": pools,
        "scheduling": {"restartJobOnWorkerRestart": options.restart_job_on_worker_restart}
        | ({"strategy": "SPOT"} if options.spot else {}),
        # Vertex AI derives AIP_CHECKPOINT_DIR, AIP_TENSORBOARD_LOG_DIR and AIP_MODEL_DIR from it.
        "baseOutputDirectory": {"outputUriPrefix": str(request.options.output)},
    }
    if options.service_account is not None:
        spec["serviceAccount"] = options.service_account
    if options.tensorboard is not None:
        spec["tensorboard"] = options.tensorboard
    return spec


def _check_accelerator(request: Request, options: VertexOptions) -> None:
    kind = options.accelerator
    request.check_accelerator(kind)
    if request.gpus and kind is None:
        usual, _ = vertex_machines.BUILT_IN.get(options.machine_type, ("NVIDIA_TESLA_T4", 1))
        raise UserError(
            "--accelerator, the kind of GPU, is missing",
            value=f"--gpus-per-worker {request.gpus}",
            hint=f"give --accelerator {usual}, or --gpus-per-worker 0",
        )
    if kind is None:
        return
    from google.cloud.aiplatform_v1 import AcceleratorType

    known = [name for name in AcceleratorType.__members__ if name.startswith("NVIDIA_")]
    if kind not in known:
        # GKE writes nvidia-tesla-t4.
        close = difflib.get_close_matches(kind.upper().replace("-", "_"), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}"
        raise UserError("Vertex AI has no GPU of this --accelerator", value=kind, hint=hint)


def to_yaml(request: Request, options: VertexOptions, package: Package | None) -> str:
    """Return the file for `gcloud ai custom-jobs create --config`, with that command as a comment."""
    command = ["gcloud", "ai", "custom-jobs", "create", f"--project={options.project}"]
    command += [f"--region={options.region}", f"--display-name={request.name}", "--config=FILE"]

    class NoAliases(yaml.SafeDumper):
        """Writes out what chief and workers share."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    spec = job_spec(request, options, package)
    return f"# {shlex.join(command)}\n{yaml.dump(spec, Dumper=NoAliases, sort_keys=False)}"


def submit(request: Request, options: VertexOptions, package: Package | None) -> str:
    """Stage the package, create the job, and return its full name; raise UserError if it is refused."""
    import google.auth.exceptions
    from google.api_core.exceptions import GoogleAPIError
    from google.cloud.aiplatform_v1 import CustomJob

    # from_json refuses fields that the service doesn't know.
    spec = job_spec(request, options, package)
    job = CustomJob.from_json(json.dumps({"displayName": request.name, "jobSpec": spec}))
    if package is not None and options.staging is not None:
        package.stage(options.staging)
    parent = f"projects/{options.project}/locations/{options.region}"
    try:
        return _client(options.region).create_custom_job(parent=parent, custom_job=job).name
    except (GoogleAPIError, google.auth.exceptions.GoogleAuthError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            "Vertex AI refused the job",
            value=parent,
            hint=f"check project, region, rights and `gcloud auth application-default login`: {reason}",
        ) from error


def _client(region: str) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.aiplatform_v1 import JobServiceClient

    address = os.environ.get(ENDPOINT, "").rstrip("/") or f"{region}-aiplatform.googleapis.com"
    # Never send credentials over an unencrypted connection.
    credentials = AnonymousCredentials() if address.startswith("http://") else None
    return JobServiceClient(
        credentials=credentials, transport="rest", client_options={"api_endpoint": address}
    )


def _pool(request: Request, options: VertexOptions, package: Package | None) -> dict[str, Any]:
    machine: dict[str, Any] = {"machineType": options.machine_type}
    if request.gpus:
        machine |= {"acceleratorType": options.accelerator, "acceleratorCount": request.gpus}
    return {
        "machineSpec": machine,
        "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100},
        **_program(request, options, package),
    }


def _program(request: Request, options: VertexOptions, package: Package | None) -> dict[str, Any]:
    if package is None or options.staging is None:
        container = {"imageUri": options.image, "command": list(ENTRY_POINT), "args": request.flags}
        return {"containerSpec": container}
    place = package.staged_in(options.staging)
    if (prebuilt := _PREBUILT.fullmatch(options.image)) is not None:
        _check_python(options.image, int(prebuilt["version"]))
        return {
            "pythonPackageSpec": {
                "executorImageUri": options.image,
                "packageUris": [f"{place}/{package.file.name}"],
                "pythonModule": ENTRY_POINT[-1],
                "args": request.flags,
            }
        }
    return {"containerSpec": _installing_container(request, options.image, package, place=place)}


def _check_python(image: str, version: int) -> None:
    if version < _OLDEST:
        raise UserError(
            "the image has a Python older than 3.11",
            value=image,
            hint="give --image python:3.12: the package installs TensorFlow and CUDA's libraries",
        )


def _installing_container(request: Request, image: str, package: Package, *, place: str) -> dict[str, Any]:
    """Return a container that installs the package from /gcs, where Vertex AI mounts all buckets."""
    mounted = f"/gcs/{place.removeprefix(GS)}"
    locks = [lock.name for lock in package.locks if request.gpus or lock.name != CUDA]
    line = _INSTALL.format(
        place=mounted, locks=" ".join(locks), package=package.file.name, entry=shlex.join(ENTRY_POINT)
    )
    # The word after the line is $0, and the flags are $@.
    return {"imageUri": image, "command": ["sh", "-c", line, "sh"], "args": request.flags}
