"""`digitmill tune`: searches a recipe's settings."""

import importlib.util
import os
import pathlib

import click

from schemas.errors import UserError


@click.command(short_help="Search a recipe's settings by training it often.")
@click.option("--recipe", required=True, metavar="NAME", help="What to tune: see `digitmill recipes`.")
@click.option(
    "--data",
    default=("sample",),
    show_default=True,
    multiple=True,
    metavar="SOURCE[@WEIGHT]",
    help="As `digitmill train` takes it; the test split is never looked at.",
)
@click.option("--trials", type=int, default=20, show_default=True, help="Trainings in all.")
@click.option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Folder for the study, trials.csv, trials.png and best.yaml.",
)
@click.option("--epochs", type=int, help="Passes of each training; the recipe's own by default.")
@click.option("--teacher", metavar="BUNDLE", help="For recipes that have one.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of all trainings alike, and of the search."
)
@click.option("--replicas", type=int, help="Devices that share each batch, as `digitmill train` takes it.")
@click.option("--data-dir", metavar="DIR", help="Where tfds: keeps prepared data, local or gs://.")
@click.option("--cache-dir", metavar="DIR", help="Where decoded images are kept for the next time.")
@click.option("--resume", is_flag=True, help="Go on with the search in DIR, if there is one.")
@click.option(
    "--study-spec", is_flag=True, help="Print the space for Vertex AI's hyperparameter tuning; train nothing."
)
def tune(
    *,
    recipe: str,
    data: tuple[str, ...],
    trials: int,
    output: pathlib.Path | None,
    epochs: int | None,
    teacher: str | None,
    seed: int,
    replicas: int | None,
    data_dir: str | None,
    cache_dir: str | None,
    resume: bool,
    study_spec: bool,
) -> None:
    """Search the settings that a recipe declares by validation accuracy; what falls behind ends early.

    \b
    Examples:
      digitmill tune --recipe cnn --trials 30 --output tuning
      digitmill tune --recipe cnn --trials 60 --output tuning --resume
      digitmill train --config tuning/best.yaml --output run
      digitmill tune --recipe cnn --study-spec
    """
    from trainer import recipes
    from trainer.options import TrainOptions

    recipes.check(recipe)
    if study_spec:
        click.echo(_spec_of(recipe))
        return
    if output is None:
        raise click.UsageError("Missing option '--output'.")
    train = TrainOptions(
        recipe=recipe,
        data=data[0] if len(data) == 1 else data,
        output=output,
        epochs=epochs,
        teacher=teacher,
        seed=seed,
        replicas=replicas,
        data_dir=data_dir,
        cache_dir=cache_dir,
    )
    click.echo(_run(train, trials=trials, output=output, resume=resume))


def _spec_of(recipe: str) -> str:
    import yaml

    from trainer import hypertune, recipes
    from trainer.tuning import space

    spec = space.study_spec(recipes.load(recipe).search, metric=hypertune.METRIC)
    return yaml.safe_dump({"studySpec": spec}, sort_keys=False).rstrip()


def _run(train: object, *, trials: int, output: pathlib.Path, resume: bool) -> str:
    from trainer.quiet import quiet_stderr
    from trainer.tuning.options import TuneOptions

    if importlib.util.find_spec("optuna") is None:
        raise UserError(
            "a search runs by Optuna", got="no optuna here", remedy="pip install 'digitmill[tune]'"
        )
    options = TuneOptions(train=train, trials=trials, output=output, resume=resume)  # type: ignore[arg-type]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet_stderr():
        from trainer.tuning import job
    return job.run(options)
