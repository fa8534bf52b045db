"""The training job's face: `digitmill train`, `digitmill recipes` and `python -m trainer.task`.

Nothing here imports TensorFlow before a job runs, so that `--help` answers at once.
"""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()

from typing import Any

import click
from cloup import OptionGroup

from digitmill.commands import answer, main, option, verb
from schemas.model.bundle import CARD
from trainer import recipes as registry
from trainer import training_flags
from trainer.cluster.restart import PeerLostError, restart_process
from trainer.train_options import PRECISIONS, SCHEDULES, STRATEGIES, TrainOptions

_WHAT = OptionGroup("What is trained, and where it goes")
_DATA = OptionGroup("Data")
_STEPS = OptionGroup("Steps; a recipe's own unless given")
_NETWORK = OptionGroup("Network, ensembles, teachers")
_TRUST = OptionGroup("What scoring accepts")
_DEVICES = OptionGroup("Devices")


@verb(short_help="Train a recipe on labelled digits, into a model bundle.")
@training_flags.recipe("What to train: see `digitmill recipes`.", group=_WHAT)
@training_flags.data(
    "sample (5,000 digits that come with the package), tfds:NAME, folder:PATH with one sub-folder "
    "per label, labels:FILE.csv of path,label, idx:DIR of MNIST's four files, or tfrecord:GLOB of what "
    "`digitmill pack` wrote; local or gs://. May be given several times, to mix sources.",
    group=_DATA,
)
@option(
    "--output",
    default="",
    metavar="DIR",
    help="The run folder, local or gs://; AIP_MODEL_DIR by default.",
    group=_WHAT,
)
@option(
    "--epochs", type=int, help="Passes over the training images; the recipe's own by default.", group=_STEPS
)
@option(
    "--batch", type=int, help="Images per step, over all replicas; the recipe's own by default.", group=_STEPS
)
@option("--schedule", type=click.Choice(SCHEDULES), help="The learning rate's course.", group=_STEPS)
@option("--learning-rate", type=float, help="Its greatest value.", group=_STEPS)
@option("--clip-norm", type=float, help="Greatest global norm of a step's gradients.", group=_STEPS)
@option(
    "--ema", type=float, metavar="DECAY", help="Average the weights, and keep the averages.", group=_STEPS
)
@option("--label-smoothing", type=float, metavar="SHARE", help="Spread so much of each label.", group=_STEPS)
@option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="mixed: bfloat16 where the chip has it.",
    group=_DEVICES,
)
@option(
    "--xla/--no-xla", default=None, help="Compile forward and backward pass; slower on CPUs.", group=_DEVICES
)
@option(
    "--patience",
    type=int,
    metavar="EPOCHS",
    help="Stop after so many without a better validation accuracy.",
    group=_STEPS,
)
@option(
    "--accumulate", type=int, metavar="PARTS", help="Go through each batch in so many parts.", group=_STEPS
)
@option(
    "--dropout", type=float, metavar="SHARE", help="Drop so many features; dense recipes.", group=_NETWORK
)
@option(
    "--batch-norm/--no-batch-norm",
    default=None,
    help="Normalise hidden layers; dense recipes.",
    group=_NETWORK,
)
@option(
    "--teacher", metavar="BUNDLE", help="Teach its answers beside the labels, local or gs://.", group=_NETWORK
)
@option("--soft-share", type=float, metavar="SHARE", help="What they count in the loss.", group=_NETWORK)
@option(
    "--teacher-temperature",
    type=float,
    help="Soften answers by this before they are compared.",
    group=_NETWORK,
)
@option(
    "--members",
    type=int,
    metavar="N",
    help="Train so many, one after the other; average them.",
    group=_NETWORK,
)
@option(
    "--member",
    multiple=True,
    metavar="BUNDLE",
    help="Average this one too; it counts among the members.",
    group=_NETWORK,
)
@option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Fixes weights, order, dropout and augmentation.",
    group=_STEPS,
)
@option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="auto",
    show_default=True,
    help="auto: several workers when TF_CONFIG names several, else all GPUs, else one CPU.",
    group=_DEVICES,
)
@option(
    "--replicas",
    type=int,
    help="Devices that share each batch: GPUs, or logical CPUs without one; all GPUs by default.",
    group=_DEVICES,
)
@option(
    "--deterministic/--no-deterministic",
    default=True,
    show_default=True,
    help="On GPUs, only operations whose results never vary.",
    group=_DEVICES,
)
@option(
    "--resume", is_flag=True, help="Go on from the newest checkpoint in DIR, if there is one.", group=_WHAT
)
@option(
    "--checkpoint-steps",
    type=int,
    metavar="STEPS",
    help="Save so often; every epoch by default.",
    group=_STEPS,
)
@training_flags.data_dir(group=_DATA)
@option(
    "--accept-threshold",
    type=float,
    help="Default confidence from which scoring accepts a prediction without review.  [default: what "
    "--target-accuracy needs, else 0.9]",
    group=_TRUST,
)
@option(
    "--target-accuracy",
    type=float,
    metavar="SHARE",
    help="Choose that confidence so that this share of accepted validation images is right, as 0.9998.",
    group=_TRUST,
)
@option(
    "--class-weights",
    type=click.Choice(["none", "balanced"]),
    default="none",
    show_default=True,
    help="balanced: every digit counts alike, however rare it is.",
    group=_DATA,
)
@option("--init", metavar="BUNDLE", help="Start from this bundle's weights, local or gs://.", group=_WHAT)
@option(
    "--max-bad-rate",
    type=float,
    default=0.01,
    show_default=True,
    help="Share of a source's images that may be unusable before the job stops.",
    group=_DATA,
)
@option(
    "--cache-dir",
    metavar="DIR",
    help="Where decoded images are kept for the next run; by default only those that do not fit the memory.",
    group=_DATA,
)
def train(*, data: tuple[str, ...], **options: Any) -> None:
    """Train a recipe on labelled digits and write a model bundle, its history and a report to DIR.

    \b
    Examples:
      digitmill train --recipe cnn --output run
      digitmill train --recipe dense-300-100 --data tfds:mnist --output run
      digitmill train --recipe cnn --data folder:scans --epochs 10 --output run
      digitmill train --recipe cnn --data sample --data labels:new.csv@5 --init run/bundle --output run2
      digitmill train --recipe strong-cnn --members 5 --data tfds:mnist --output ensemble
      digitmill train --recipe distilled --teacher ensemble/bundle --data tfds:mnist --output small
    """
    job_options = TrainOptions(data=data[0] if len(data) == 1 else data, **options)
    from trainer.job.train_job import run

    try:
        result = run(job_options)
    except PeerLostError as error:
        restart_process(error)
    # Of several workers the chief alone writes a bundle, and answers; for people it has done so already.
    if (result.bundle / CARD).exists():
        answer(None, {"output": str(job_options.output or result.output), **result.as_data()})


@verb(short_help="List the recipes.")
def recipes() -> None:
    """List the recipes that `digitmill train --recipe` takes.

    \b
    Examples:
      digitmill recipes
      digitmill recipes --json
    """
    found = {name: registry.summary(name) for name in registry.NAMES}
    width = max(map(len, found))
    answer("\n".join(f"{name:<{width}}  {summary}" for name, summary in found.items()), found)


if __name__ == "__main__":
    main(train)
