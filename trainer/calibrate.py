"""`digitmill calibrate`: fits a bundle's temperature and threshold to its owner's digits."""

from digitmill.commands import answer, verb
from trainer.job.calibrate_options import CalibrateOptions


@verb(options=CalibrateOptions)
def calibrate(options: CalibrateOptions) -> None:
    """Make a bundle whose accepted answers are right as often as you ask, on images like your labeled ones.

    Nothing is trained. The labeled images must be drawn at random from those that are scored later:
    images that a review has picked because the model was unsure say nothing about the others.
    An image labeled unreadable counts as wrong where it would be accepted.

    \b
    Examples:
      digitmill calibrate --model run/bundle --labels labels.csv --target-accuracy 0.99 --output calibrated
      digitmill calibrate --data folder:meters --target-accuracy 0.999 --output calibrated
    """
    from digitmill.engines.bundle_files import read_card
    from trainer.data.sources.source_specs import check_places

    # First: a typo need not wait for what the job imports.
    check_places(options.sources)
    read_card(options.model)
    from trainer.job import calibrate_job

    made = calibrate_job.run(options)
    answer(made.table(), made.as_data())
