"""How a command ends, and how it says what was wrong with what it was given."""

import enum
from typing import Final


class ExitCode(enum.IntEnum):
    """Exit status of every `digitmill` verb; schedulers and CI act on it."""

    OK = 0
    CRASHED = 1
    USAGE = 2
    OVER_BUDGET = 3
    UNRECONCILED = 4
    TERMINATED = 143

    @property
    def meaning(self) -> str:
        """One sentence for people who find it in a log."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    ExitCode.OK: "Done.",
    ExitCode.CRASHED: "Stopped, failed or crashed; what was finished is kept. Or `doctor` found a fault.",
    ExitCode.USAGE: "Something given cannot be used: one line says what, and what to do.",
    ExitCode.OVER_BUDGET: "Done and accounted for, but more images failed than `--max-failure-rate` allows.",
    ExitCode.UNRECONCILED: "The counts do not add up, or `verify` found something.",
    ExitCode.TERMINATED: "Training was told to end, by Ctrl-C or SIGTERM, and has saved a checkpoint.",
}


def first_line(error: BaseException) -> str:
    """Returns what an error says first; those of libraries go on with graphs, traces and innards."""
    return (str(error).splitlines() or [""])[0][:300] or type(error).__name__


class RuleError(Exception):
    """A rule that does not hold, worded as one line: the rule, the value, the remedy.

    Args:
        rule: what must hold, as a clause ("a label folder has one sub-folder per label").
        got: the offending value; shown by `repr`, so that a newline in a name stays on the line.
        remedy: what to do about it, as an imperative.
    """

    def __init__(self, rule: str, *, got: object, remedy: str) -> None:
        super().__init__(rule, got, remedy)
        self.rule = rule
        self.got = got
        self.remedy = remedy

    def __str__(self) -> str:
        return " ".join(f"{self.rule}; got {self.got!r}; {self.remedy}".split())


class UserError(RuleError):
    """Something that the user gave cannot be used; shown as one line, never as a traceback."""


class StorageError(RuleError):
    """A storage failed in the middle of a run: full, gone, or closed to us. What is done is kept."""


class WorkerError(RuleError):
    """Workers died or ran out of memory, in the middle of a run. What is done is kept."""


class StoppedError(Exception):
    """A run was told to stop; what is done is kept, and the text says how to go on."""


class JobFailedError(Exception):
    """A job stopped by itself, for a reason that is no error of the program; shown as one line.

    Attributes:
        code: exit status.
    """

    code: int = ExitCode.CRASHED


class UnreconciledError(Exception):
    """Listed images are neither scored nor failed; the run has no manifest and did not happen."""
