"""Recognizes files next to images that operating systems and digitmill itself leave in folders."""

import re
from typing import Final

from schemas import labels, manifest, run_plan
from schemas.layout import REPORT_PAGE, REVIEW_PAGE, STATISTICS

JUNK_FOLDER: Final = b"__MACOSX"
"""Folder that macOS adds to zip archives; nothing in it is an image."""

_OURS: Final = (
    manifest.FILE,
    run_plan.FILE,
    "run.yaml",
    labels.FILE,
    "failures.csv",
    REPORT_PAGE,
    REVIEW_PAGE,
)
"""Files that `score`, `pack` and `review` write at the top of an output."""

_FILE: Final = re.compile(
    # Of systems; a launcher's lock; files that a killed process was writing; then ours.
    rb"\.DS_Store|\._[^/]*|(?i:thumbs\.db|desktop\.ini)|\.launcher\.lock|\.[^/]+\.[0-9a-f]{16}\.tmp|"
    + "|".join(map(re.escape, _OURS)).encode(),
    re.DOTALL,
)
_RECORD: Final = re.compile(rb"part-[0-9a-f]{32}\.json")

is_junk_file: Final = _FILE.fullmatch
"""Whether a file's name alone, without folders, as bytes, is junk; a true value or None."""


def is_junk(name: bytes) -> bool:
    """Whether a file is junk, by its path in an input or an archive, with `/`."""
    folder, _, last = name.rpartition(b"/")
    if is_junk_file(last):
        return True
    folders = folder.split(b"/")
    return JUNK_FOLDER in folders or (
        folders[-1] == STATISTICS.encode() and _RECORD.fullmatch(last) is not None
    )
