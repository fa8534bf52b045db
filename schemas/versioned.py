"""Records as JSON files that state their format, so that a reader refuses a format it does not know."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any


def dump(fields: Mapping[str, Any], **head: Any) -> str:
    """Returns a record as the text of its file.

    Args:
        fields: the record's fields, of JSON types.
        head: fields that identify the kind of file, at least its `format`; they come first.
    """
    return json.dumps({**head, **fields}, indent=2) + "\n"


@contextlib.contextmanager
def load(text: str, what: str, **head: Any) -> Iterator[dict[str, Any]]:
    """Context manager that yields a record's fields, without the head, to make the record from them.

    Args:
        text: as `dump` wrote it.
        what: the record with its article, for error messages.
        head: what the text must begin with.

    Raises:
        ValueError: when the text is not JSON, is of another kind or format, or when a field is missing,
            unknown or of a wrong type.
    """
    fields = json.loads(text)
    if not isinstance(fields, dict) or {name: fields.pop(name, None) for name in head} != head:
        raise ValueError(f"not {what} of format {head['format']}")
    try:
        yield fields
    except (KeyError, TypeError) as error:
        raise ValueError(f"wrong fields for {what}: {error}") from error
