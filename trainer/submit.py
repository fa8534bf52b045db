"""`digitmill submit`: hands a training to Vertex AI, Kubernetes or Slurm."""

import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
from cloup import OptionGroup

from digitmill.commands import answer, argument, option, verb
from trainer import training_flags

_WHAT = OptionGroup("What is trained, and where it goes")
_MACHINES = OptionGroup("The machines")
_VERTEX = OptionGroup("Vertex AI")
_KUBERNETES = OptionGroup("Kubernetes")
_SLURM = OptionGroup("Slurm")

_TARGETS: Final = ("vertex", "kubernetes", "slurm")

_ONLY_FOR: Final = {
    "image": ("vertex", "kubernetes"),
    "service_account": ("vertex", "kubernetes"),
    "accelerator": ("vertex", "kubernetes"),
    "spot": ("vertex", "kubernetes"),
    "project": ("vertex",),
    "region": ("vertex",),
    "machine_type": ("vertex",),
    "staging": ("vertex",),
    "tensorboard": ("vertex",),
    "restart_job_on_worker_restart": ("vertex",),
    "namespace": ("kubernetes",),
    "volume": ("kubernetes",),
    "memory": ("kubernetes",),
    "cpus": ("kubernetes", "slurm"),
    "partition": ("slurm",),
    "time": ("slurm",),
    "setup": ("slurm",),
    "python": ("slurm",),
}
"""Flags that not every cluster takes."""


@verb(
    context_settings={"ignore_unknown_options": True},
    short_help="Hand a training to Vertex AI, Kubernetes or Slurm.",
)
@option("--to", "target", required=True, type=click.Choice(_TARGETS), help="The cluster's kind.", group=_WHAT)
@training_flags.recipe("What to train: see `digitmill recipes`.", group=_WHAT)
@training_flags.data("As `digitmill train` takes it, and where all workers see it.", group=_WHAT)
@option(
    "--output",
    required=True,
    metavar="DIR",
    help="The run folder: gs://, or a folder that workers share.",
    group=_WHAT,
)
@option("--workers", type=int, default=1, show_default=True, help="Machines.", group=_WHAT)
@option(
    "--gpus-per-worker",
    "gpus",
    type=int,
    default=1,
    show_default=True,
    help="GPUs of each; 0 for CPUs.",
    group=_WHAT,
)
@option("--name", help="The job's name.  [default: digitmill-RECIPE]", group=_WHAT)
@option("--dry-run", is_flag=True, help="Print what would be submitted, and submit nothing.", group=_WHAT)
@option(
    "--image",
    help="Container image that holds digitmill; with --staging one with Python 3.11 to 3.13 will do.",
    group=_MACHINES,
)
@option("--service-account", metavar="NAME", help="As which the workers reach buckets.", group=_MACHINES)
@option(
    "--accelerator",
    metavar="KIND",
    help="Kind of GPU: NVIDIA_TESLA_T4 to Vertex AI, nvidia-tesla-t4 to GKE.",
    group=_MACHINES,
)
@option("--spot", is_flag=True, help="Take machines that may be taken away.", group=_MACHINES)
@option("--project", help="Google Cloud project.", group=_VERTEX)
@option("--region", help="Region of Vertex AI, as europe-west4.", group=_VERTEX)
@option("--machine-type", help="Machine of Vertex AI.  [default: n1-standard-8]", group=_VERTEX)
@option(
    "--staging",
    metavar="gs://DIR",
    help="Build a package from this checkout, put it there, and let the workers install it.",
    group=_VERTEX,
)
@option("--tensorboard", metavar="NAME", help="Full name of a Vertex AI TensorBoard instance.", group=_VERTEX)
@option(
    "--restart-job-on-worker-restart",
    is_flag=True,
    help="Start all workers anew with one; they would start themselves anew.",
    group=_VERTEX,
)
@option("--namespace", help="Namespace of Kubernetes.  [default: kubectl's]", group=_KUBERNETES)
@option(
    "--volume",
    multiple=True,
    metavar="CLAIM:/PATH",
    help="A PersistentVolumeClaim that all pods mount there; may be given several times.",
    group=_KUBERNETES,
)
@option(
    "--cpus", help="Cores of each worker.  [default: 4 of Kubernetes, else the cluster's]", group=_MACHINES
)
@option("--memory", help="Memory of each pod.  [default: 16Gi]", group=_KUBERNETES)
@option("--partition", help="Partition of Slurm.", group=_SLURM)
@option("--time", help="Slurm's time limit; a job that reaches it saves, and is queued again.", group=_SLURM)
@option(
    "--setup",
    multiple=True,
    metavar="COMMAND",
    help="What each Slurm job runs first, as 'module load cuda'; may be given several times.",
    group=_SLURM,
)
@option(
    "--python",
    help="Python that has digitmill on Slurm's nodes.  [default: the one that runs now]",
    group=_SLURM,
)
@argument("train_flags", nargs=-1, type=click.UNPROCESSED, metavar="[TRAIN FLAGS]...")
def submit(target: str, *, dry_run: bool, **given: Any) -> None:
    """Hand a training to a cluster; what runs there is `python -m trainer.task`, and it resumes.

    All flags of `digitmill train` are understood too.

    \b
    Examples:
      digitmill submit --to kubernetes --recipe cnn --data tfds:mnist --output gs://bucket/run \\
        --workers 4 --image europe-docker.pkg.dev/project/images/digitmill-trainer --dry-run
      digitmill submit --to slurm --recipe strong-cnn --data tfds:mnist --output runs/1 \\
        --workers 2 --gpus-per-worker 4 --partition gpu --time 04:00:00
      digitmill submit --to vertex --recipe strong-cnn --data tfds:mnist --output gs://bucket/run \\
        --project my-project --region europe-west4 --image python:3.12 --staging gs://bucket/staging \\
        --accelerator NVIDIA_TESLA_T4 --epochs 40
    """
    _refuse_foreign(target, given)
    request = _request(given)
    text = _SUBMITTERS[target](request, given, dry_run).rstrip("\n")
    answer(text, {"request" if dry_run else "submitted": text})


def _refuse_foreign(target: str, given: Mapping[str, Any]) -> None:
    for name, targets in _ONLY_FOR.items():
        if given[name] and target not in targets:
            flag = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{flag} goes with --to {' or '.join(targets)}, not with {target}.")


def _need(target: str, given: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if not given[name]:
            raise click.UsageError(f"Missing option '--{name}', which --to {target} needs.")


def _request(given: Mapping[str, Any]) -> Any:
    from trainer import recipes, task
    from trainer.submission.request import Request
    from trainer.train_options import TrainOptions

    recipes.check(given["recipe"])
    sources = [word for source in given["data"] for word in ("--data", source)]
    output = ["--output", given["output"]]
    arguments = ["--recipe", given["recipe"], *sources, *output, *given["train_flags"]]
    with task.train.make_context("digitmill train", list(arguments)) as context:
        data = context.params.pop("data")
        options = TrainOptions(data=data[0] if len(data) == 1 else data, **context.params)
    request = Request(
        name=given["name"] or f"digitmill-{given['recipe']}",
        options=options,
        arguments=tuple(arguments),
        workers=given["workers"],
        gpus=given["gpus"],
    )
    if request.workers * request.gpus > 1 or request.workers > 1:
        request.check_batch()
    return request


def _kept(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """What was given of these; the rest has defaults elsewhere."""
    return {name: given[name] for name in names if given[name]}


def _to_kubernetes(request: Any, given: Mapping[str, Any], dry_run: bool) -> str:
    from trainer.submission import kubernetes

    _need("kubernetes", given, "image")
    kept = _kept(given, "image", "namespace", "service_account", "cpus", "memory", "accelerator", "spot")
    volumes = tuple(map(kubernetes.Volume.of, given["volume"]))
    options = kubernetes.KubernetesOptions(volumes=volumes, **kept)
    return (kubernetes.to_yaml if dry_run else kubernetes.submit)(request, options)


def _to_slurm(request: Any, given: Mapping[str, Any], dry_run: bool) -> str:
    from trainer.submission import slurm

    kept = _kept(given, "partition", "time", "setup", "python")
    if given["cpus"]:
        kept["cpus"] = click.IntRange(min=1).convert(given["cpus"], None, None)
    options = slurm.SlurmOptions(**kept)
    return (slurm.script if dry_run else slurm.submit)(request, options)


def _to_vertex(request: Any, given: Mapping[str, Any], dry_run: bool) -> str:
    from trainer.submission import package, vertex

    _need("vertex", given, "project", "region", "image")
    kept = _kept(given, "project", "region", "image", "machine_type", "accelerator", "spot")
    kept |= _kept(given, "restart_job_on_worker_restart", "service_account", "tensorboard", "staging")
    options = vertex.VertexOptions(**kept)
    with tempfile.TemporaryDirectory() as folder:
        # Told apart by content: a dry run names the very place that a real one would.
        built = package.build(pathlib.Path(folder)) if options.staging else None
        return (vertex.to_yaml if dry_run else vertex.submit)(request, options, built)


_SUBMITTERS: Final[dict[str, Callable[[Any, Mapping[str, Any], bool], str]]] = {
    "vertex": _to_vertex,
    "kubernetes": _to_kubernetes,
    "slurm": _to_slurm,
}
