"""The life of an output folder, from its plan to its manifest.

A run claims the folder, writes its plan or resumes the one that is there, and shows progress. When every
work item has its statistics record, the records are reconciled with the frozen listing, the report is
written, and the manifest comes last: a folder without one holds no finished run. Its
signature, if a key signs it, is written just before. Verification reads a finished folder again and
recounts. An export makes one file of its rows.
"""

__all__ = [
    "finishing",
    "output_run",
    "planning",
    "reconcile",
    "row_export",
    "run_progress",
    "signing",
    "stall_watchdog",
    "summary",
    "verification",
]
