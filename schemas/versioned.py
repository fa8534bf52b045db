"""Records as JSON files that say which format they have: read only by who knows that format."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any


def dump(fields: Mapping[str, Any], **head: Any) -> str:
    """Returns a record as the text of its file.

    Args:
        fields: of the record, of JSON's types.
        head: what says whose file it is, its `format` at least; comes first.
    """
    return json.dumps({**head, **fields}, indent=2) + "\n"


def parse(text: str, what: str, **head: Any) -> dict[str, Any]:
    """Returns the fields of a record's text, without its head.

    Args:
        text: as `dump` wrote it.
        what: the record with its article, for complaints.
        head: what it must begin with.

    Raises:
        ValueError: when the text is no JSON, no such record, or one of another format.
    """
    fields = json.loads(text)
    if not isinstance(fields, dict) or {name: fields.pop(name, None) for name in head} != head:
        raise ValueError(f"{what} has format {head['format']}")
    return fields


@contextlib.contextmanager
def check_fields(what: str) -> Iterator[None]:
    """Words what goes wrong when a record is made from fields that are not its own.

    Raises:
        ValueError: when one is missing, unknown, or of another shape.
    """
    try:
        yield
    except (KeyError, TypeError) as error:
        raise ValueError(f"{what} has exactly the documented fields: {error}") from error
