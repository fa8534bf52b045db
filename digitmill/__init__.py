"""digitmill: train digit classifiers, and score very large folders of digit images.

This package has the command and the library under both jobs, which are `trainer` and `pipelines`. This file
imports nothing: importing `digitmill` must cost nothing.
"""

__all__ = [
    "import_path",
    "machine",
    "native_log",
]
