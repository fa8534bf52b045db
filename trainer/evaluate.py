"""`digitmill evaluate`: measures a bundle anew, on any labelled source and by any engine."""

import pathlib

import click
from cloup import OptionGroup

from digitmill.commands import answer, bundle_flags, option, verb
from digitmill.commands.parameter_types import FiniteRange
from trainer import training_flags

_MODEL = OptionGroup("The model")
_DATA = OptionGroup("What it is measured on")


@verb(short_help="Measure a model bundle on labelled digits.")
@bundle_flags.model(group=_MODEL)
@option(
    "--data",
    required=True,
    multiple=True,
    metavar="SOURCE",
    help="As `digitmill train` takes it: sample, tfds:NAME, folder:PATH, labels:FILE.csv, idx:DIR or "
    "tfrecord:GLOB. May be given several times.",
    group=_DATA,
)
@option(
    "--split",
    type=click.Choice(["test", "validation", "train", "all"]),
    default="test",
    show_default=True,
    help="Which images: the source's test images, of a source without splits the tenth that training "
    "keeps for the test, or all.",
    group=_DATA,
)
@bundle_flags.engine("keras", group=_MODEL)
@training_flags.data_dir(group=_DATA)
@option(
    "--max-bad-rate",
    type=FiniteRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of a source's images that may be unusable.",
    group=_DATA,
)
@option("--cache-dir", metavar="DIR", help="Where decoded images are kept for the next time.", group=_DATA)
def evaluate(
    *,
    model: pathlib.Path | None,
    data: tuple[str, ...],
    split: str,
    engine: str,
    data_dir: str | None,
    max_bad_rate: float,
    cache_dir: str | None,
) -> None:
    """Measure a bundle on labelled digits: accuracy, loss, calibration, confusion, what it accepts.

    \b
    Examples:
      digitmill evaluate --data sample
      digitmill evaluate --model run/bundle --data tfds:mnist --engine saved_model
      digitmill evaluate --model run/bundle --data folder:meters --split all --json
    """
    if model is None:
        raise click.UsageError("Missing option '--model'.")
    from trainer.job import evaluate_job

    asked = evaluate_job.EvaluateOptions(
        model=model,
        data=data,
        split=split,
        engine=engine,
        data_dir=data_dir,
        max_bad_rate=max_bad_rate,
        cache_dir=cache_dir,
    )
    measured = evaluate_job.run(asked)
    answer(measured.table(), measured.as_data())
