"""Scores one work item: reads its images, decodes, predicts, decides, and writes its rows and its record.

The code is the same in the launcher, in a worker process and in a Beam worker. It also copies the model
bundle to where it runs.
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
