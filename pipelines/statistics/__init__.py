"""Mergeable statistics of scored images: counts, histograms, thresholds, samples for the report.

Each work item has one record. Records merge in any order into the statistics of the run, from which
reconciliation and report are computed without reading predictions again.
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
