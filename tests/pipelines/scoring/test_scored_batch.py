import dataclasses

import numpy as np

from digitmill.storage.listed_image import ListedImage
from pipelines.scoring.report_samples import ReportSamples
from pipelines.scoring.scored_batch import ScoredBatch, summarize
from pipelines.statistics.tallies import Tally
from schemas.prediction import NO_LABEL


def scored() -> ScoredBatch:
    """One answer that is right, one that is wrong, and one of which nobody knows."""
    return ScoredBatch(
        images=(
            ListedImage("file:///in/a/1.png", 5, 3, label=7),
            ListedImage("file:///in/a/2.png", 5, 3, label=3),
            ListedImage("file:///in/b/1.png", 5, 3, label=NO_LABEL),
        ),
        first=np.array([7, 8, 7]),
        second=np.array([1, 3, 1]),
        confidence=np.array([0.75, 0.5, 1.0], np.float32),
        second_confidence=np.array([0.25, 0.25, 0.0], np.float32),
        accepted=np.array([True, False, True]),
        challenger=np.full(3, NO_LABEL),
        challenger_confidence=np.full(3, np.nan, np.float32),
        failures=(),
        samples=ReportSamples(),
    )


def test_each_folder_and_digit_has_its_sums() -> None:
    assert summarize("x", scored(), ()).tallies == (
        Tally("file:///in/a", 7, images=1, confidence=0.75, accepted=1, labeled=1, right=1),
        Tally("file:///in/a", 8, images=1, confidence=0.5, accepted=0, labeled=1, right=0),
        Tally("file:///in/b", 7, images=1, confidence=1.0, accepted=1, labeled=0, right=0),
    )


def test_only_labeled_images_are_right_or_wrong() -> None:
    statistics = summarize("x", scored(), ())
    assert (statistics.accepted, statistics.accepted_labeled, statistics.accepted_right) == (2, 1, 1)
    confused = [
        (label, digit)
        for label, row in enumerate(statistics.confusion)
        for digit in np.repeat(range(10), row)
    ]
    assert confused == [(3, 8), (7, 7)]


def test_answers_that_are_spread_over_all_digits_are_no_digit_unless_accepted() -> None:
    confidence = np.array([0.1, 0.3, 0.31, 0.5, 0.3], np.float32)
    second = np.array([0.1, 0.29, 0.3, 0.5, 0.29], np.float32)
    rows = dataclasses.replace(
        scored(),
        images=(ListedImage("file:///in/a/1.png", 5, 3),) * 5,
        first=np.full(5, 7),
        second=np.full(5, 1),
        confidence=confidence,
        second_confidence=second,
        accepted=np.array([False, False, False, False, True]),
        challenger=np.full(5, NO_LABEL),
        challenger_confidence=np.full(5, np.nan, np.float32),
    )
    assert rows.not_digits.tolist() == [True, True, False, False, False]
    assert summarize("x", rows, ()).not_digits == 2
