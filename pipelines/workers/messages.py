"""Messages between the launcher and its worker processes.

Messages are JSON, so that nothing from a worker is executed. Only the task, which the launcher sends to its
own child, is pickled.
"""

import json
import traceback

from digitmill.engines.engine import EngineError
from pipelines.listing.frozen_listing import ItemRef
from schemas.errors import ERRORS, ActionableError


class RemoteError(RuntimeError):
    """A bug in a worker process; the text is its traceback."""


def encode_request(ref: ItemRef) -> bytes:
    """Return the request to score a work item."""
    return json.dumps(ref).encode()


def parse_request(message: bytes) -> ItemRef:
    """Return the reference in a request."""
    name, number = json.loads(message)
    return name, number


def encode_digest(digest: str) -> bytes:
    """Return the response for a work item that is scored and written."""
    return json.dumps({"done": digest}).encode()


def encode_error(error: Exception) -> bytes:
    """Return the response for a work item that failed."""
    if isinstance(error, ActionableError):
        return json.dumps({"error": type(error).__name__, "fields": error.fields()}).encode()
    if isinstance(error, EngineError):
        return json.dumps({"error": EngineError.__name__, "text": str(error)}).encode()
    return json.dumps({"error": "", "text": "".join(traceback.format_exception(error))}).encode()


def parse_response(message: bytes) -> str:
    """Return the digest in a response.

    Raises:
        UserError, StorageError, WorkerError, EngineError: that the worker met.
        RemoteError: when the worker met any other error.
        ValueError: for anything that is not a response.
    """
    response = json.loads(message)
    match response:
        case {"done": str(digest)}:
            return digest
        case {"error": str(kind), "fields": {"error": text, "value": value, "hint": hint}} if kind in ERRORS:
            raise ERRORS[kind](text, value=value, hint=hint)
        case {"error": "EngineError", "text": str(text)}:
            raise EngineError(text)
        case {"error": "", "text": str(text)}:
            raise RemoteError(text)
    raise ValueError(f"invalid response of a worker process: {message[:100]!r}")
