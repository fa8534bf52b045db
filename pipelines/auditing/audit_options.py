"""The flags of `digitmill audit`."""

import dataclasses
from typing import ClassVar

from digitmill.commands import Options, positional
from digitmill.commands.parameter_types import FILE, FOLDER


@dataclasses.dataclass(frozen=True)
class AuditOptions(Options):
    """The options of an audit.

    Attributes:
        runs: output folders of runs that were scored with `--audit`, local or in a bucket.
        labels: the labels file downloaded from the review pages of these runs.
    """

    VERB: ClassVar[str] = "audit"

    runs: tuple[str, ...] = positional(metavar="RUN...", type=FOLDER, nargs=-1, required=True)
    labels: str = positional(metavar="LABELS", type=FILE)
