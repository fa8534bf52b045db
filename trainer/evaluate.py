"""`digitmill evaluate`: measures a bundle anew, on any labelled source and by any engine."""

import pathlib

import click


@click.command(short_help="Measure a model bundle on labelled digits.")
@click.option(
    "--model",
    metavar="BUNDLE",
    type=click.Path(path_type=pathlib.Path),
    help="Bundle folder that `digitmill train` wrote.  [default: the one that comes with digitmill]",
)
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="SOURCE",
    help="As `digitmill train` takes it: sample, tfds:NAME, folder:PATH, labels:FILE.csv, idx:DIR or "
    "tfrecord:GLOB. May be given several times.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train", "all"]),
    default="test",
    show_default=True,
    help="Which images: the source's test images, of a source without splits the tenth that training "
    "keeps for the test, or all.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "litert", "litert_int8", "saved_model", "keras"]),
    default="auto",
    show_default=True,
    help="What runs the model; auto is saved_model where TensorFlow sees a GPU, else the bundle's default.",
)
@click.option("--data-dir", metavar="DIR", help="Where tfds: keeps prepared data, local or gs://.")
@click.option(
    "--max-bad-rate",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of a source's images that may be unusable.",
)
@click.option("--cache-dir", metavar="DIR", help="Where decoded images are kept for the next time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and everything else to standard error.")
def evaluate(
    *,
    model: pathlib.Path | None,
    data: tuple[str, ...],
    split: str,
    engine: str,
    data_dir: str | None,
    max_bad_rate: float,
    cache_dir: str | None,
    as_json: bool,
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
    from trainer import evaluate_job

    asked = evaluate_job.EvaluateOptions(
        model=model,
        data=data,
        split=split,
        engine=engine,
        data_dir=data_dir,
        max_bad_rate=max_bad_rate,
        cache_dir=cache_dir,
    )
    measured = evaluate_job.run(asked, quiet=as_json)
    click.echo(measured.to_json() if as_json else measured.table())
