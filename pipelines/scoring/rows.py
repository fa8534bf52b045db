"""Makes the rows of a scored batch, with the columns of `schemas.prediction`, and writes them to files."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from digitmill.storage import OutputFolder
from pipelines.listing.relative_names import RelativeNames
from pipelines.rows.row_columns import PROBABILITIES, Columns, values_of
from pipelines.rows.row_encoding import encode_rows
from pipelines.scoring.scored_batch import ScoredBatch, summarize
from pipelines.statistics.audit_sample import AuditDraw
from pipelines.statistics.item_statistics import ItemStatistics
from schemas import prediction
from schemas.layout import DEFAULT_FORMATS, PREDICTIONS, Compression, Format
from schemas.manifest import Part
from schemas.prediction import Decision, Prediction, Reason

_DECISIONS: Final = (Decision.REVIEW.value, Decision.ACCEPT.value)
_REASONS: Final = (None, Reason.NOT_A_DIGIT.value)


def prediction_columns(
    scored: ScoredBatch,
    extra: Sequence[str] = (),
    names: RelativeNames = RelativeNames(),  # noqa: B008 - frozen
) -> Columns:
    """Return the values of `schemas.prediction.COLUMNS` and of `extra` columns, by name.

    Args:
        scored: the rows.
        extra: names of further columns: probabilities, and columns of the input list.
        names: names of the images relative to the run's inputs; full names by default.
    """
    wanted = not PROBABILITIES.keys().isdisjoint(extra)
    probabilities = dict(zip(PROBABILITIES, scored.probabilities.T, strict=True)) if wanted else {}
    carry = [name for name in extra if name not in probabilities]
    carried = [json.loads(image.carried or "{}") for image in scored.images] if carry else []
    images = [image.uri for image in scored.images]
    return {
        "image": images,
        "path": names.paths(images),
        "generation": np.array([image.generation for image in scored.images], np.int64),
        "digit": scored.first,
        "confidence": scored.confidence,
        "second_digit": scored.second,
        "second_confidence": scored.second_confidence,
        # Plain strings: hashing an enum member takes 0.3 us.
        "decision": [_DECISIONS[accepted] for accepted in scored.accepted.tolist()],
        "label": np.array([image.label for image in scored.images], np.int64),
        "challenger_digit": scored.challenger,
        "challenger_confidence": scored.challenger_confidence,
        "reason": [_REASONS[no_digit] for no_digit in scored.not_digits.tolist()],
        **probabilities,
        **{name: [columns.get(name) for columns in carried] for name in carry},
    }


def write_parts(
    output: OutputFolder,
    piece: str,
    scored: ScoredBatch,
    *,
    order: str = "",
    compression: Compression,
    formats: Sequence[Format] = DEFAULT_FORMATS,
    extra: Sequence[str] = (),
    names: RelativeNames = RelativeNames(),  # noqa: B008 - frozen
    audit: AuditDraw | None = None,
) -> ItemStatistics:
    """Write rows, if any, to files named by place and content, unless they exist; return the statistics.

    Args:
        output: folder of the run.
        piece: digest of the work item, and number of this piece of its rows.
        scored: the rows.
        order: `part_order` of the item, and of the piece in it; if empty, file names begin with the piece.
        compression: which files are gzipped.
        formats: formats to write.
        extra: names of further columns: probabilities, and columns of the input list.
        names: names of the images relative to the run's inputs.
        audit: how the audit sample is drawn; None for no sample.
    """
    files = {}
    if scored.images:
        files = encode_rows(prediction_columns(scored, extra, names), compression, formats)
    content = hashlib.sha256(b"".join(files.values())).hexdigest()[:16]
    named = {
        f"{PREDICTIONS}/part-{order or piece}-{content}.{suffix}": data for suffix, data in files.items()
    }
    output.write_all_once(named)
    parts = tuple(Part.of(name, data, rows=len(scored.images)) for name, data in named.items())
    return summarize(piece, scored, parts, audit=audit)


def iter_predictions(scored: ScoredBatch) -> Iterator[Prediction]:
    """Yield the rows as `Prediction` records."""
    columns = prediction_columns(scored)
    values = [values_of(column, columns[column.name]) for column in prediction.COLUMNS]
    for row in zip(*values, strict=True):
        yield Prediction(**dict(zip(columns, row, strict=True)))
