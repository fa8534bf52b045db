"""Mergeable statistics of scored images: counts, histograms, thresholds, samples for the report.

Each work item has one record. Records merge in any order into the run's statistics. Reconciliation and report
use these statistics and need not read the predictions again.
"""

__all__ = [
    "agreement",
    "audit_sample",
    "failure_rows",
    "item_statistics",
    "kept_images",
    "label_suspects",
    "tallies",
    "thresholds",
    "totals",
]
