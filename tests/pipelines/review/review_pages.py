"""Review pages without a run behind them."""

from collections.abc import Sequence

import numpy as np

from digitmill.storage.listed_image import ListedImage
from pipelines.history.past_runs import PastRun
from pipelines.review.review_fields import ReviewField
from pipelines.review.review_images import Picture
from pipelines.review.review_page import render_review
from pipelines.review.review_rows import ReviewRow
from schemas.failure import FailureCode, ImageError
from schemas.manifest import Manifest
from schemas.run_plan import RunPlan


def make_row(number: int, uri: str, *, count: int = 100, archive: str = "") -> ReviewRow:
    """A row whose confidence, digit and version follow from its number."""
    file = ListedImage(archive or uri, 1_700_000_000_000_000_000 + number, 1)
    confidence = round(0.2 + 0.7 * number / count, 6)
    return ReviewRow(
        confidence, uri, file.generation, number % 10, (number + 1) % 10, round(0.9 - confidence, 6), -1, file
    )


def page_of(
    manifest: Manifest,
    rows: Sequence[ReviewRow],
    digits: Sequence[np.ndarray],
    *,
    gone: Sequence[int] = (),
    original: bytes = b"",
    digest: str = "d" * 64,
    fields: Sequence[ReviewField] = (),
    blind: bool = False,
) -> str:
    """The page of these rows."""
    run = PastRun("/scores", manifest, RunPlan(("in",), "m", "2", {}, {}), digest)
    pictures = {
        place: Picture(digits[place], f"{place:064x}", original)
        for place in range(len(rows))
        if place not in gone
    }
    errors = {place: ImageError(FailureCode.MISSING, "No such file <or> folder") for place in gone}
    return render_review(run, rows, pictures=pictures, errors=errors, fields=fields, blind=blind)
