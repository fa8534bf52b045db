"""Scores one work item: reads its images, decodes, predicts, decides, and writes its rows and its record.

It runs the same in the launcher, in a worker process and in a Beam worker, and knows none of them. It
also brings the model bundle to where it runs.
"""

__all__ = [
    "classify",
    "model_place",
    "page_members",
    "predictions",
    "report_samples",
    "rows",
    "scored_batch",
    "scorer",
    "scoring_task",
]
