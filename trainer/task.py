"""The training job's face: `digitmill train`, `digitmill recipes` and `python -m trainer.task`.

Nothing here imports TensorFlow before a job runs, so that `--help` answers at once.
"""

import pathlib
import sys

import click

from trainer import recipes as registry
from trainer.options import TrainOptions


@click.command()
@click.option("--recipe", required=True, metavar="NAME", help="What to train: see `digitmill recipes`.")
@click.option(
    "--data",
    default=("sample",),
    show_default=True,
    multiple=True,
    metavar="SOURCE[@WEIGHT]",
    help="sample (5,000 digits that come with the package), tfds:NAME, folder:PATH with one sub-folder "
    "per label, labels:FILE.csv of path,label, idx:DIR of MNIST's four files, or tfrecord:GLOB of what "
    "`digitmill pack` wrote; local or gs://. May be given several times, to mix sources.",
)
@click.option(
    "--output", required=True, type=click.Path(path_type=pathlib.Path), metavar="DIR", help="The run folder."
)
@click.option("--epochs", type=int, help="Passes over the training images; the recipe's own by default.")
@click.option("--batch", type=int, help="Images per step, over all replicas; the recipe's own by default.")
@click.option("--seed", type=int, default=0, show_default=True, help="Fixes weights, order and dropout.")
@click.option(
    "--replicas",
    type=int,
    help="Devices that share each batch: GPUs, or logical CPUs without one; all GPUs by default.",
)
@click.option("--data-dir", metavar="DIR", help="Where tfds: keeps prepared data, local or gs://.")
@click.option(
    "--accept-threshold",
    type=float,
    default=0.9,
    show_default=True,
    help="Default confidence from which scoring accepts a prediction without review.",
)
@click.option(
    "--class-weights",
    type=click.Choice(["none", "balanced"]),
    default="none",
    show_default=True,
    help="balanced: every digit counts alike, however rare it is.",
)
@click.option("--init", metavar="BUNDLE", help="Start from this bundle's weights, local or gs://.")
@click.option(
    "--max-bad-rate",
    type=float,
    default=0.01,
    show_default=True,
    help="Share of a source's images that may be unusable before the job stops.",
)
@click.option(
    "--cache-dir",
    metavar="DIR",
    help="Where decoded images are kept for the next run; by default only those that do not fit the memory.",
)
def train(
    *,
    recipe: str,
    data: tuple[str, ...],
    output: pathlib.Path,
    epochs: int | None,
    batch: int | None,
    seed: int,
    replicas: int | None,
    data_dir: str | None,
    accept_threshold: float,
    class_weights: str,
    init: str | None,
    max_bad_rate: float,
    cache_dir: str | None,
) -> None:
    """Train a recipe on labelled digits and write a model bundle, its history and plots to DIR.

    \b
    Examples:
      digitmill train --recipe cnn --output run
      digitmill train --recipe dense-300-100 --data tfds:mnist --output run
      digitmill train --recipe cnn --data folder:scans --epochs 10 --output run
      digitmill train --recipe cnn --data sample --data labels:new.csv@5 --init run/bundle --output run2
    """
    options = TrainOptions(
        recipe=recipe,
        data=data[0] if len(data) == 1 else data,
        output=output,
        epochs=epochs,
        batch=batch,
        seed=seed,
        replicas=replicas,
        data_dir=data_dir,
        accept_threshold=accept_threshold,
        class_weights=class_weights,
        init=init,
        max_bad_rate=max_bad_rate,
        cache_dir=cache_dir,
    )
    from trainer.job import run

    run(options)


@click.command()
def recipes() -> None:
    """List the recipes that `digitmill train --recipe` takes."""
    width = max(len(name) for name in registry.NAMES)
    for name in registry.NAMES:
        click.echo(f"{name:<{width}}  {registry.summary(name)}")


if __name__ == "__main__":
    # The face reads the arguments and words the errors, whichever name the job is called by.
    from digitmill.cli import main

    main(["train", *sys.argv[1:]])
