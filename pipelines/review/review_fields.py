"""Fields of a run whose digits people label together."""

import json
from collections.abc import Collection, Iterator
from typing import NamedTuple

from digitmill.storage import open_folder
from pipelines.fields.run_fields import read_fields
from pipelines.history.past_runs import PastRun
from schemas.errors import StorageError
from schemas.layout import is_field_table
from schemas.prediction import Decision, Field, FieldReason


class ReviewField(NamedTuple):
    """A field for review.

    Attributes:
        why: why it cannot be accepted; empty if it is only unsure.
        images: URIs of its digits, in order.
    """

    name: str
    value: str
    why: str
    images: tuple[str, ...]


def fields_to_label(run: PastRun, doubtful: Collection[str], limit: int) -> list[ReviewField]:
    """Return the fields of a run with at least one image for people to label, sorted by name.

    Also includes up to `limit` fields whose digits are all sure, but whose value is not.

    Raises:
        StorageError: when the table of fields is missing or damaged.
    """
    found, impossible = list[ReviewField](), 0
    for field in _for_review(run):
        images = tuple(json.loads(field.images))
        if not any(image in doubtful for image in images):
            impossible += field.reason == FieldReason.INVALID
            if field.reason != FieldReason.INVALID or impossible > limit:
                continue
        found.append(ReviewField(field.field, field.value, field.note or "", images))
    return found


def _for_review(run: PastRun) -> Iterator[Field]:
    tables = [part.name for part in run.manifest.parts if is_field_table(part.name)]
    try:
        for field in read_fields(open_folder(run.place), tables):
            if field.decision == Decision.REVIEW:
                yield field
    except (FileNotFoundError, ValueError) as error:
        raise StorageError(
            f"a table of fields is missing or damaged ({error})",
            value=run.place,
            hint="make it again by `digitmill report`",
        ) from error
