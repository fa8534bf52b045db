"""The flags of `digitmill submit`, by kind of cluster.

A flag that several clusters share is a field of each class; the first class has its help text.
"""

import dataclasses
import sys
from typing import Any, Final

import click

from digitmill.commands import OptionGroup, Options, flag
from schemas.errors import UserError
from trainer.submission import rules
from trainer.submission.pod_parts import NodeLabel, Secret, Toleration, Variable, Volume

_MACHINES: Final = OptionGroup("Machines")
_VERTEX: Final = OptionGroup("Vertex AI")
_KUBERNETES: Final = OptionGroup("Kubernetes")
_SLURM: Final = OptionGroup("Slurm")


def _cpus() -> Any:
    return flag("Cores of each worker.  [default: 4 for each of its GPUs, and 4 without]", group=_MACHINES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _CloudOptions(Options):
    """Flags of both Vertex AI and Kubernetes."""

    image: str = flag(
        "Container image with digitmill; with --staging, any image with Python 3.11 to 3.13.",
        group=_MACHINES,
        fallback=None,
    )
    service_account: str | None = flag(
        "Service account of the workers, for access to buckets.", group=_MACHINES, metavar="NAME"
    )
    accelerator: str | None = flag(
        "Kind of GPU: NVIDIA_TESLA_T4 to Vertex AI, nvidia-tesla-t4 to GKE.", group=_MACHINES, metavar="KIND"
    )
    spot: bool = flag("Use spot machines.", group=_MACHINES, default=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VertexOptions(_CloudOptions):
    """Flags of Vertex AI."""

    project: str = flag("Google Cloud project.", group=_VERTEX, fallback=None)
    region: str = flag("Region of Vertex AI, such as europe-west4.", group=_VERTEX, fallback=None)
    machine_type: str = flag("Machine of Vertex AI.", group=_VERTEX, default="n1-standard-8")
    staging: str | None = flag(
        "Build a package from this checkout, upload it there, and install it on the workers.",
        group=_VERTEX,
        metavar="gs://DIR",
    )
    tensorboard: str | None = flag(
        "Full name of a Vertex AI TensorBoard instance.", group=_VERTEX, metavar="NAME"
    )
    restart_job_on_worker_restart: bool = flag(
        "Restart all workers when one restarts; usually not needed, because the others restart themselves.",
        group=_VERTEX,
        default=False,
    )

    def __post_init__(self) -> None:
        rules.PROJECT.check("--project", self.project)
        rules.REGION.check("--region", self.region)
        rules.MACHINE.check("--machine-type", self.machine_type)
        rules.ACCOUNT.check("--service-account", self.service_account)
        rules.TENSORBOARD.check("--tensorboard", self.tensorboard)
        if self.staging is not None and not self.staging.startswith("gs://"):
            raise UserError(
                "--staging is not in gs://",
                value=self.staging,
                hint="name a folder of a bucket in the region",
            )
        if self.tensorboard is not None and self.service_account is None:
            raise UserError(
                "--tensorboard needs a service account",
                value="no --service-account",
                hint="give a --service-account that can write to it",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class KubernetesOptions(_CloudOptions):
    """Flags of Kubernetes."""

    kind: str = flag(
        "job, or jobset where the cluster has JobSet's controller.",
        group=_KUBERNETES,
        type=click.Choice(["job", "jobset"]),
        default="job",
    )
    namespace: str | None = flag("Namespace of Kubernetes.  [default: kubectl's]", group=_KUBERNETES)
    queue: str | None = flag("Kueue's LocalQueue, which admits the job.", group=_KUBERNETES, metavar="NAME")
    volumes: tuple[Volume, ...] = flag(
        "A PersistentVolumeClaim that all pods mount at this path. Repeatable.",
        "--volume",
        group=_KUBERNETES,
        type=Volume.of,
        metavar="CLAIM:/PATH",
        default=(),
    )
    cpus: str | None = _cpus()
    memory: str = flag("Memory of each pod.", group=_KUBERNETES, default="16Gi")
    shm_size: str | None = flag(
        "Limit of /dev/shm, which counts as part of --memory; NCCL uses it between GPUs.",
        group=_KUBERNETES,
        metavar="AMOUNT",
    )
    node_labels: tuple[NodeLabel, ...] = flag(
        "Label that nodes must have; outside GKE, this chooses the kind of GPU. Repeatable.",
        "--node-selector",
        group=_KUBERNETES,
        type=NodeLabel.of,
        metavar="KEY=VALUE",
        default=(),
    )
    tolerations: tuple[Toleration, ...] = flag(
        "Taint of nodes that pods tolerate; the taint of GPUs is always tolerated. Repeatable.",
        "--toleration",
        group=_KUBERNETES,
        type=Toleration.of,
        metavar="KEY[=VALUE][:EFFECT]",
        default=(),
    )
    pull_secrets: tuple[str, ...] = flag(
        "Secret with the credentials of the image's registry. Repeatable.",
        "--pull-secret",
        group=_KUBERNETES,
        metavar="NAME",
        default=(),
    )
    env: tuple[Variable, ...] = flag(
        "Environment variable of all workers. Repeatable.",
        group=_KUBERNETES,
        type=Variable.of,
        metavar="NAME=VALUE",
        default=(),
    )
    secrets: tuple[Secret, ...] = flag(
        "Secret whose keys are environment variables or, with a path, files there. Repeatable.",
        "--secret",
        group=_KUBERNETES,
        type=Secret.of,
        metavar="NAME[:/PATH]",
        default=(),
    )
    deadline: int | None = flag(
        "Seconds after which Kubernetes ends the job.",
        group=_KUBERNETES,
        type=click.IntRange(min=1),
        metavar="SECONDS",
    )
    ttl: int | None = flag(
        "Seconds after its end at which Kubernetes deletes the job; never by default.",
        group=_KUBERNETES,
        type=click.IntRange(min=0),
        metavar="SECONDS",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        rules.LABEL.check("--namespace", self.namespace)
        rules.OBJECT.check("--service-account", self.service_account)
        rules.CORES.check("--cpus", self.cpus)
        rules.MEMORY.check("--memory", self.memory)
        rules.MEMORY.check("--shm-size", self.shm_size)
        rules.LABEL.check("--accelerator", self.accelerator)
        rules.LABEL.check("--queue", self.queue)
        for name in self.pull_secrets:
            rules.OBJECT.check("--pull-secret", name)
        self._check_shm_size()
        self._check_mounts()

    def _check_shm_size(self) -> None:
        if self.shm_size is None:
            return
        if rules.amount_in_bytes(self.shm_size) > rules.amount_in_bytes(self.memory):
            raise UserError(
                f"--shm-size is larger than --memory {self.memory}, which includes it",
                value=self.shm_size,
                hint="raise --memory, or give less",
            )

    def _check_mounts(self) -> None:
        """Raise UserError if two things are mounted at one path: Kubernetes refuses the pods."""
        files = (secret.path for secret in self.secrets if secret.path is not None)
        paths = [*(volume.path for volume in self.volumes), *files, "/dev/shm"]
        for path in paths:
            if paths.count(path) > 1:
                raise UserError(
                    "two volumes have the same path", value=path, hint="give each volume its own path"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlurmOptions(Options):
    """Flags of Slurm."""

    cpus: str | None = _cpus()
    partition: str | None = flag("Partition of Slurm.", group=_SLURM)
    time: str | None = flag(
        "Slurm's time limit; a job that reaches it saves a checkpoint and is requeued.", group=_SLURM
    )
    setup: tuple[str, ...] = flag(
        "Command that each Slurm job runs first, such as 'module load cuda'. Repeatable.",
        group=_SLURM,
        metavar="COMMAND",
        default=(),
    )
    python: str = flag(
        "Python with digitmill, at a path that all of Slurm's nodes see.  [default: the one that runs now]",
        group=_SLURM,
        default=sys.executable,
        show_default=False,
    )

    def __post_init__(self) -> None:
        rules.SLURM_CORES.check("--cpus", self.cpus)
        rules.SLURM_NAME.check("--partition", self.partition)
        rules.SLURM_TIME.check("--time", self.time)


CLUSTERS: Final[dict[str, type[VertexOptions] | type[KubernetesOptions] | type[SlurmOptions]]] = {
    "vertex": VertexOptions,
    "kubernetes": KubernetesOptions,
    "slurm": SlurmOptions,
}
"""Options by the value of `--to`."""


def chosen(target: str, given: dict[str, Any]) -> Options:
    """Return one cluster's options; raise click.UsageError for flags of another, or missing ones."""
    flags = {param.name: param.opts[0] for param in click.get_current_context().command.params}
    fields = {field.name: field for field in dataclasses.fields(CLUSTERS[target])}
    for name in given.keys() - fields.keys():
        others = [
            each
            for each, options in CLUSTERS.items()
            if name in {field.name for field in dataclasses.fields(options)}
        ]
        raise click.UsageError(f"{flags[name]} goes with --to {' or '.join(others)}, not with {target}.")
    for name, field in fields.items():
        if field.default is dataclasses.MISSING and name not in given:
            raise click.UsageError(f"Missing option '{flags[name]}', which --to {target} needs.")
    return CLUSTERS[target](**given)
