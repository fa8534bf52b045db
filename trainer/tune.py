"""`digitmill tune`: searches a recipe's settings."""

import importlib.util
import pathlib

import click
from cloup import OptionGroup

from digitmill.commands import answer, option, verb
from schemas.errors import UserError
from trainer import training_flags

_WHAT = OptionGroup("What is searched, and where it goes")
_EACH = OptionGroup("Each training")


@verb(short_help="Search a recipe's settings by training it often.")
@training_flags.recipe("What to tune: see `digitmill recipes`.", group=_WHAT)
@training_flags.data("As `digitmill train` takes it; the test split is never looked at.", group=_WHAT)
@option("--trials", type=int, default=20, show_default=True, help="Trainings in all.", group=_WHAT)
@option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Folder for the study, trials.csv, trials.png and best.yaml.",
    group=_WHAT,
)
@option("--epochs", type=int, help="Passes of each training; the recipe's own by default.", group=_EACH)
@option("--teacher", metavar="BUNDLE", help="For recipes that have one.", group=_EACH)
@option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Of all trainings alike, and of the search.",
    group=_EACH,
)
@option(
    "--replicas", type=int, help="Devices that share each batch, as `digitmill train` takes it.", group=_EACH
)
@training_flags.data_dir(group=_EACH)
@option("--cache-dir", metavar="DIR", help="Where decoded images are kept for the next time.", group=_EACH)
@option("--resume", is_flag=True, help="Go on with the search in DIR, if there is one.", group=_WHAT)
@option(
    "--study-spec",
    is_flag=True,
    help="Print the space for Vertex AI's hyperparameter tuning; train nothing.",
    group=_WHAT,
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
    from trainer.train_options import TrainOptions

    recipes.check(recipe)
    if study_spec:
        text, spec = _spec_of(recipe)
        answer(text, spec)
        return
    if output is None:
        raise click.MissingParameter(param_type="option", param_hint="'--output'")
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
    text = _run(train, trials=trials, output=output, resume=resume)
    answer(text, {"trials": str(output / "trials.csv"), "best": str(output / "best.yaml")})


def _spec_of(recipe: str) -> tuple[str, dict]:
    import yaml

    from trainer import recipes
    from trainer.job import hypertune
    from trainer.recipes.parts import search_space

    spec = {"studySpec": search_space.study_spec(recipes.load(recipe).search, metric=hypertune.METRIC)}
    return yaml.safe_dump(spec, sort_keys=False).rstrip(), spec


def _run(train: object, *, trials: int, output: pathlib.Path, resume: bool) -> str:
    from trainer.quiet import quiet_start
    from trainer.tuning.tune_options import TuneOptions

    if importlib.util.find_spec("optuna") is None:
        raise UserError(
            "a search runs by Optuna", got="no optuna here", remedy="run pip install 'digitmill[tune]'"
        )
    options = TuneOptions(train=train, trials=trials, output=output, resume=resume)  # type: ignore[arg-type]
    with quiet_start():
        from trainer.tuning import tune_job
    return tune_job.run(options)
