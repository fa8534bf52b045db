"""The training job's entry points: `digitmill train`, `digitmill recipes` and `python -m trainer.task`.

Nothing here imports TensorFlow before a job runs, so that `--help` answers at once.
"""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()

from digitmill.commands import answer, main, verb
from trainer import recipes as registry
from trainer.cluster.restart import PeerLostError, restart_process
from trainer.train_options import TrainOptions


@verb(options=TrainOptions, short_help="Train a recipe on labeled digits, into a model bundle.")
def train(options: TrainOptions) -> None:
    """Train a recipe on labeled digits and write a model bundle, its history and a report to DIR.

    \b
    Examples:
      digitmill train --recipe cnn --output run
      digitmill train --recipe dense-300-100 --data tfds:mnist --output run
      digitmill train --recipe cnn --data folder:scans --epochs 10 --output run
      digitmill train --recipe cnn --data sample --data labels:new.csv@5 --init run/bundle --output run2
      digitmill train --recipe strong-cnn --members 5 --data tfds:mnist --output ensemble
      digitmill train --recipe distilled --teacher ensemble/bundle --data tfds:mnist --output small
    """
    from trainer.job.train_job import run

    try:
        result = run(options)
    except PeerLostError as error:
        restart_process(error)
    # Of several workers the chief answers. The text is printed already; this adds the JSON.
    if result.is_complete:
        answer(None, {"output": str(options.output or result.output), **result.as_data()})


@verb(short_help="List the recipes.")
def recipes() -> None:
    """List the recipes that `digitmill train --recipe` takes, with accuracy, size and training time.

    \b
    Examples:
      digitmill recipes
      digitmill recipes --json
    """
    found = {name: registry.facts(name) for name in registry.NAMES}
    header = ("recipe", "accuracy", "parameters", "time on 2 CPU cores", "network")
    rows = [header, *((name, *each.values()) for name, each in found.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    note = "Accuracy on MNIST's 10,000 test images: mean and spread of three seeds, or one seed."
    answer("\n".join([*lines, "", note]), found)


if __name__ == "__main__":
    main(train)
