"""The training job's entry points: `digitmill train`, `digitmill recipes` and `python -m trainer.task`.

Nothing here imports TensorFlow before a job runs, so that `--help` answers at once.
"""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()

from digitmill.commands import answer, main, verb
from trainer import recipes as registry
from trainer.cluster.restart import PeerLostError, restart_process
from trainer.train_options import TrainOptions


@verb(options=TrainOptions)
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


@verb()
def recipes() -> None:
    """List the recipes that `digitmill train --recipe` takes, with accuracy, size and training time.

    \b
    Examples:
      digitmill recipes
      digitmill recipes --json
    """
    found = {name: registry.facts(name) for name in registry.NAMES}
    header = ("recipe", "accuracy", "parameters", "time", "network")
    rows = [header, *((name, *each.values()) for name, each in found.items())]
    answer("\n".join([*_table(rows), "", _NOTE]), found)


_NOTE: Final = """\
accuracy: on MNIST's 10,000 test images, the mean and spread of three seeds, or of one seed
time:     of training on two CPU cores"""


def _table(rows: Sequence[Sequence[str]], *, width: int = 110) -> Iterator[str]:
    """Yield the lines of a table, whose last column is wrapped so that no line is longer than `width`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for *cells, text in rows:
        start = "".join(f"{cell:{size}}  " for cell, size in zip(cells, widths, strict=True))
        blank = " " * len(start)
        yield from textwrap.wrap(
            text, width, initial_indent=start, subsequent_indent=blank, break_on_hyphens=False
        )


if __name__ == "__main__":
    main(train)
