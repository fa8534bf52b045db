"""Writes the prediction files of some rows, under names that follow from what is in them."""

import hashlib
from typing import Final

from digitmill.storage import OutputFolder
from pipelines.scoring.rows import Compression, encode, prediction_columns
from pipelines.scoring.scored_batch import Scored, summarise
from pipelines.statistics.item_statistics import ItemStatistics
from schemas.manifest import Part

PREDICTIONS: Final = "predictions"
"""Folder of the prediction files within the output."""


def write_parts(
    output: OutputFolder, piece: str, scored: Scored, *, compression: Compression
) -> ItemStatistics:
    """Writes rows once and returns their statistics; no rows are no files.

    Args:
        output: where to.
        piece: name of the work item, or of a piece of it.
        scored: the rows.
        compression: which files are gzipped.
    """
    files = encode(prediction_columns(scored), compression) if scored.images else {}
    content = hashlib.sha256(b"".join(files.values())).hexdigest()[:8]
    parts = []
    for suffix, data in files.items():
        name = f"{PREDICTIONS}/part-{piece}-{content}.{suffix}"
        output.write_once(name, data)
        parts.append(Part.of(name, data, rows=len(scored.images)))
    return summarise(piece, scored, tuple(parts))
