"""The run folder, local or in a bucket: checkpoints, history, and where each file goes.

One run claims a folder; a second start with other options is refused, one with the same options resumes.
"""

__all__ = [
    "checkpoints",
    "disk_full",
    "history",
    "run_folder",
    "run_location",
]
