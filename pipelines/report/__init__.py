"""The report of a scoring run: one HTML page, and the CSV and PNG files below `reports/`.

The report is computed from a run's merged statistics and its manifest, so the report of a finished run can
be rebuilt at any time. Charts, galleries, class metrics and drift against other runs each have a module.
"""

__all__ = [
    "nights_report",
    "originals",
    "rebuilding",
    "running_audit",
    "scoring_report",
]
