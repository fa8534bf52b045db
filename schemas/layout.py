"""Where files stand in the output of a scoring run."""

import enum
from typing import Final

STATISTICS: Final = "statistics"
"""Folder of the work items' statistics records within the output."""


def statistics_name(digest: str) -> str:
    """Returns where in the output a work item's statistics record stands."""
    return f"{STATISTICS}/part-{digest}.json"


def record_name(digest: str) -> str:
    """Returns the record's name within its folder, as `OutputFolder.names` has it."""
    return statistics_name(digest).rpartition("/")[2]


class Compression(enum.StrEnum):
    """Which prediction files are gzipped."""

    RECORDS = "records"
    ALL = "all"
    NONE = "none"
