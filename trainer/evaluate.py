"""`digitmill evaluate`: measures a bundle on any labeled source and with any engine."""

from digitmill.commands import answer, verb
from trainer.job.evaluate_options import EvaluateOptions


@verb(options=EvaluateOptions)
def evaluate(options: EvaluateOptions) -> None:
    """Measure a bundle on labeled digits: accuracy, loss, calibration, confusion, what it accepts.

    \b
    Examples:
      digitmill evaluate --data sample
      digitmill evaluate --model run/bundle --data tfds:mnist --engine saved_model
      digitmill evaluate --model run/bundle --data folder:meters --split all --json
    """
    from digitmill.engines.bundle_files import read_card
    from trainer.data.sources.source_specs import check_places

    # First: a typo need not wait for TensorFlow.
    check_places(options.data)
    read_card(options.model)
    from trainer.job import evaluate_job

    measured = evaluate_job.run(options)
    answer(measured.table(), measured.as_data())
