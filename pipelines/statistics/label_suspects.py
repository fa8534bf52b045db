"""The images of a run whose labels are most likely wrong."""

from collections.abc import Sequence

from digitmill.reports.label_errors import SelfConfidence
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.kept_images import KeptImage


def self_confidence(statistics: RunStatistics) -> SelfConfidence:
    """Return a model's mean probability of the label, by digit, on a run's labeled images."""
    return SelfConfidence.of(statistics.self_confidence, map(sum, statistics.confusion))


def label_suspects(statistics: RunStatistics) -> Sequence[KeptImage]:
    """Return the images whose labels are most likely wrong, most likely first."""
    return self_confidence(statistics).rank(statistics.mistaken)
