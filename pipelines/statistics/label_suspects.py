"""The images of a run whose labels are likeliest in error."""

from collections.abc import Sequence

from digitmill.reports.label_errors import SelfConfidence
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.kept_images import KeptImage


def self_confidence(statistics: RunStatistics) -> SelfConfidence:
    """Return how sure a run's model is, on average, of the labeled images of each digit."""
    return SelfConfidence.of(statistics.self_confidence, map(sum, statistics.confusion))


def label_suspects(statistics: RunStatistics) -> Sequence[KeptImage]:
    """Return the images whose labels are likeliest in error, most likely first."""
    return self_confidence(statistics).rank(statistics.mistaken)
