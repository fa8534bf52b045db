"""Exit codes of all commands, and the errors that they show as one line."""

import enum
from typing import Final


class ExitCode(enum.IntEnum):
    """Exit status of every `digitmill` verb, for schedulers and CI."""

    OK = 0
    CRASHED = 1
    USAGE = 2
    OVER_BUDGET = 3
    UNRECONCILED = 4
    GATE_TRIPPED = 5
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def meaning(self) -> str:
        """One sentence for logs and docs."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    ExitCode.OK: "Done.",
    ExitCode.CRASHED: "Stopped, failed or crashed; finished work is kept. Or `doctor` found a fault.",
    ExitCode.USAGE: "An option or input cannot be used, or a training cannot succeed with what it was given; "
    "one line says why, and what to do. The same command fails again.",
    ExitCode.OVER_BUDGET: "Done, but more images failed than `--max-failure-rate` allows.",
    ExitCode.UNRECONCILED: "The counts do not add up, or `verify` found differences.",
    ExitCode.GATE_TRIPPED: "Done and written, but a figure of the run is as `--fail-on` forbids, or `audit` "
    "found the promise of a model broken.",
    ExitCode.INTERRUPTED: "Training was stopped by Ctrl-C outside of its steps; checkpoints are kept.",
    ExitCode.TERMINATED: "Training was stopped by SIGTERM, or by Ctrl-C in its steps; checkpoints are kept.",
}


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text. Libraries append graphs and traces."""
    return (str(error).splitlines() or [""])[0][:300] or type(error).__name__


def reason_of(error: BaseException) -> str:
    """Return an error's reason for a message: the operating system's words, without `[Errno 2]`."""
    return getattr(error, "strerror", None) or first_line(error)


def counted(count: int, noun: str) -> str:
    """Return a number and a noun in the right form: `1 epoch`, `1,200 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class ActionableError(Exception):
    """An error in one line: what is wrong, the value, and what to do.

    Args:
        error: what is wrong, as a phrase without a full stop ("input not found").
        value: the offending value; shown by `repr`, so that a newline in a name stays on the line.
        hint: what to do about it, as an imperative ("check the path").
    """

    def __init__(self, error: str, *, value: object, hint: str) -> None:
        super().__init__(error, value, hint)
        self.error = error
        self.value = value
        self.hint = hint

    def __str__(self) -> str:
        return sentences(f"{self.error}: {self.value!r}", self.hint)

    def fields(self) -> dict[str, str | int | float | None]:
        """Return the arguments by name, as JSON types, so that another process can recreate the error."""
        value = self.value if isinstance(self.value, (str, int, float, type(None))) else str(self.value)
        return {"error": self.error, "value": value, "hint": self.hint}


def sentences(*texts: str) -> str:
    """Join texts into sentences on one line, each with a full stop and a capital letter."""
    first, *others = (" ".join(text.split()) for text in texts)
    whole = [first, *(text[:1].upper() + text[1:] for text in others)]
    return " ".join(text if text.endswith((".", "?", "!")) else f"{text}." for text in whole if text)


class UserError(ActionableError):
    """Input from the user cannot be used; shown as one line, never as a traceback."""


class StorageError(ActionableError):
    """A storage failed during a run: full, gone, or access denied. Finished work is kept."""


class WorkerError(ActionableError):
    """Workers died or ran out of memory during a run. Finished work is kept."""


ERRORS: Final[dict[str, type[ActionableError]]] = {
    kind.__name__: kind for kind in (StorageError, UserError, WorkerError)
}
"""The errors above by class name, for messages between processes."""


class StoppedError(Exception):
    """A run was stopped; finished work is kept, and the text gives the command to resume.

    Args:
        text: what is shown.
        code: the exit code.
    """

    def __init__(self, text: str, *, code: int = ExitCode.CRASHED) -> None:
        super().__init__(text)
        self.code = code


class JobFailedError(Exception):
    """A job failed for a reason that is not a bug; shown as one line.

    Attributes:
        code: the exit code: CRASHED where the same command may succeed later, USAGE where it fails again.
    """

    code: int = ExitCode.CRASHED


class UnreconciledError(Exception):
    """Some listed images are neither scored nor failed; the run gets no manifest."""
