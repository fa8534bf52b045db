"""`digitmill tune`: searches a recipe's settings."""

import click

from digitmill.commands import answer, option, verb
from digitmill.extras import require
from trainer.tuning.tune_options import WHAT, TuneOptions


@verb(options=TuneOptions)
@option(
    "--study-spec",
    is_flag=True,
    help="Print the space for Vertex AI's hyperparameter tuning; train nothing.",
    group=WHAT,
)
def tune(options: TuneOptions, *, study_spec: bool) -> None:
    """Search a recipe's settings for the best validation accuracy; trials that fall behind end early.

    \b
    Examples:
      digitmill tune --recipe cnn --trials 30 --output tuning
      digitmill tune --recipe cnn --trials 60 --output tuning --resume
      digitmill train --config tuning/best.yaml --output run
      digitmill tune --recipe cnn --study-spec
    """
    from trainer import recipes

    require("optuna", wanted="digitmill tune")
    require("tensorflow", wanted="digitmill tune")
    recipes.check(options.recipe)
    if study_spec:
        answer(*_spec_of(options.recipe))
        return
    if not options.output:
        raise click.MissingParameter(param_type="option", param_hint="'--output'")
    files = {"trials": str(options.output / "trials.csv"), "best": str(options.output / "best.yaml")}
    answer(_run(options), files)


def _spec_of(recipe: str) -> tuple[str, dict]:
    import yaml

    from trainer import recipes
    from trainer.job import hypertune
    from trainer.recipes.parts import search_space

    spec = {"studySpec": search_space.study_spec(recipes.load(recipe).search, metric=hypertune.METRIC)}
    return yaml.safe_dump(spec, sort_keys=False).rstrip(), spec


def _run(options: TuneOptions) -> str:
    from digitmill.native_log import quiet_start
    from trainer import recipes
    from trainer.data.sources.source_specs import check_places

    # First: a typo need not wait for TensorFlow.
    recipes.check(options.recipe)
    check_places(options.data)
    with quiet_start():
        from trainer.tuning import tune_job
    return tune_job.run(options)
