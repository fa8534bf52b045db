"""What launcher and worker processes say to each other: JSON; nothing that comes from a worker is code.

The one exception is the task, which the launcher pickles for its own child.
"""

import json
import traceback

from digitmill.engines.engine import EngineError
from pipelines.listing.frozen_listing import ItemRef
from schemas.errors import ActionableError, StorageError, UserError, WorkerError

_RULES: dict[str, type[ActionableError]] = {
    kind.__name__: kind for kind in (StorageError, UserError, WorkerError)
}


class RemoteError(RuntimeError):
    """A mistake of the program in a worker process; the text is its traceback there."""


def request(ref: ItemRef) -> bytes:
    """Returns the question for one work item."""
    return json.dumps(ref).encode()


def requested(message: bytes) -> ItemRef:
    """Reads what `request` wrote."""
    name, number = json.loads(message)
    return name, number


def done(digest: str) -> bytes:
    """Returns the answer for an item that is scored and written."""
    return json.dumps({"done": digest}).encode()


def failed(error: Exception) -> bytes:
    """Returns the answer for an item that met an error."""
    if isinstance(error, ActionableError):
        value = error.value if isinstance(error.value, (str, int, float, type(None))) else str(error.value)
        fields = {"error": error.error, "value": value, "hint": error.hint}
        return json.dumps({"error": type(error).__name__, "fields": fields}).encode()
    if isinstance(error, EngineError):
        return json.dumps({"error": EngineError.__name__, "text": str(error)}).encode()
    return json.dumps({"error": "", "text": "".join(traceback.format_exception(error))}).encode()


def digest_of(message: bytes) -> str:
    """Returns the digest in an answer.

    Raises:
        UserError, StorageError, WorkerError, EngineError: that the worker met.
        RemoteError: when it met anything else.
        ValueError: when it makes no sense.
    """
    answer = json.loads(message)
    match answer:
        case {"done": str(digest)}:
            return digest
        case {"error": str(kind), "fields": {"error": text, "value": value, "hint": hint}} if kind in _RULES:
            raise _RULES[kind](text, value=value, hint=hint)
        case {"error": "EngineError", "text": str(text)}:
            raise EngineError(text)
        case {"error": "", "text": str(text)}:
            raise RemoteError(text)
    raise ValueError(f"a worker process answers with its work item's digest; got {message[:100]!r}")
