"""The life of an output folder, from its plan to its manifest.

A run claims the folder, writes its plan or resumes an existing one, and shows progress. When every work
item has its statistics record, the run reconciles the records with the frozen listing, writes the report,
and writes the manifest last: a folder without a manifest holds no finished run. With a signing key, the
signature is written just before the manifest. Verification reads a finished folder again and recounts. An
export writes all its rows to one file.
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
