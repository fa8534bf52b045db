"""`digitmill submit`: hands a training to Vertex AI, Kubernetes or Slurm."""

import dataclasses
import pathlib
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar, Final

import click
from click.core import ParameterSource

from digitmill.commands import OptionGroup, Options, answer, flag, option, positional, verb
from digitmill.commands.options import flags
from digitmill.commands.parameter_types import FOLDER
from digitmill.extras import require
from trainer import training_flags
from trainer.submission import cluster_options
from trainer.submission.cluster_options import CLUSTERS, KubernetesOptions, SlurmOptions, VertexOptions

if TYPE_CHECKING:
    from trainer.submission.request import Request

_WHAT: Final = OptionGroup("Training")


@dataclasses.dataclass(frozen=True)
class SubmitOptions(Options):
    """What to submit, and where; each field is a flag, explained by its help.

    Attributes:
        train_flags: the remaining flags, those of `digitmill train`.
    """

    VERB: ClassVar[str] = "submit"

    target: str = flag(
        "Kind of cluster.", "--to", group=_WHAT, type=click.Choice(list(CLUSTERS)), required=True
    )
    recipe: str = training_flags.recipe("What to train: see `digitmill recipes`.", group=_WHAT)
    data: str | tuple[str, ...] = training_flags.data(
        "As for `digitmill train`; all workers must be able to read it.", group=_WHAT
    )
    output: str = flag(
        "The run folder: gs://, or a folder that workers share.",
        group=_WHAT,
        type=FOLDER,
        metavar="DIR",
        required=True,
    )
    workers: int = flag(
        "Number of machines.", group=_WHAT, type=click.IntRange(min=1), metavar="N", default=1
    )
    gpus: int = flag(
        "GPUs of each machine; 0 to train on CPUs.",
        "--gpus-per-worker",
        group=_WHAT,
        type=click.IntRange(min=0),
        metavar="N",
        default=1,
    )
    name: str | None = flag("The job's name.  [default: digitmill-RECIPE]", group=_WHAT)
    train_flags: tuple[str, ...] = positional(
        metavar="[TRAIN FLAGS]...", nargs=-1, type=click.UNPROCESSED, default=()
    )

    @property
    def train_arguments(self) -> tuple[str, ...]:
        """The training as arguments of `digitmill train`."""
        sources = (self.data,) if isinstance(self.data, str) else self.data
        data = (word for source in sources for word in ("--data", source))
        return ("--recipe", self.recipe, *data, "--output", self.output, *self.train_flags)


@verb(
    options=SubmitOptions,
    context_settings={"ignore_unknown_options": True},
)
@option("--dry-run", is_flag=True, help="Print what would be submitted, and submit nothing.", group=_WHAT)
@flags(*CLUSTERS.values())
@click.pass_context
def submit(ctx: click.Context, options: SubmitOptions, *, dry_run: bool, **machines: Any) -> None:
    """Submit a training to a cluster, where `python -m trainer.task` runs and resumes by itself.

    All flags of `digitmill train` work, too.

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
    given = {
        name: value
        for name, value in machines.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    cluster = cluster_options.chosen(options.target, given)
    text = _submit(_request(options), cluster, dry_run=dry_run).rstrip("\n")
    answer(text, {"request" if dry_run else "submitted": text})


def _request(options: SubmitOptions) -> "Request":
    from trainer import recipes, task
    from trainer.submission.request import Request
    from trainer.train_options import TrainOptions

    recipes.check(options.recipe)
    with task.train.make_context("digitmill train", list(options.train_arguments)) as context:
        train = TrainOptions.of(context.params)
    request = Request(
        name=options.name or f"digitmill-{options.recipe}",
        options=train,
        arguments=options.train_arguments,
        workers=options.workers,
        gpus=options.gpus,
    )
    if request.workers > 1 or request.gpus > 1:
        request.check_batch()
    return request


def _submit(request: "Request", cluster: Options, *, dry_run: bool) -> str:
    """Return what the cluster answers; of a dry run what it would be given."""
    if isinstance(cluster, KubernetesOptions):
        from trainer.submission import kubernetes

        return (kubernetes.to_yaml if dry_run else kubernetes.submit)(request, cluster)
    if isinstance(cluster, SlurmOptions):
        from trainer.submission import slurm

        return (slurm.script if dry_run else slurm.submit)(request, cluster)
    assert isinstance(cluster, VertexOptions)
    require("google.cloud.aiplatform", wanted="--to vertex")
    if cluster.staging:
        require("build", wanted=f"--staging {cluster.staging}")
    from trainer.submission import package, vertex

    with tempfile.TemporaryDirectory() as folder:
        # Named by content, so that a dry run prints the same place as a real submission.
        built = package.build(pathlib.Path(folder)) if cluster.staging else None
        return (vertex.to_yaml if dry_run else vertex.submit)(request, cluster, built)
