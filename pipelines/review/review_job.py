"""The job of `digitmill review`: writes a page with the least confident images of a finished run."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

from digitmill.commands.progress_bar import progress_bar
from digitmill.storage import ImageReader, OutputFolder, open_folder
from digitmill.storage.names import printable
from digitmill.storage.outage import refuse_outage
from pipelines.history.past_runs import PastRun, open_finished_run
from pipelines.listing.work_item import make_failure
from pipelines.review.review_fields import fields_to_label
from pipelines.review.review_images import Picture, read_pictures
from pipelines.review.review_options import ReviewOptions
from pipelines.review.review_page import render_review
from pipelines.review.review_rows import ReviewRow, label_doubts, member_rows, rows_to_label
from schemas import labels
from schemas.errors import UserError
from schemas.failure import ImageError
from schemas.layout import REVIEW_PAGE


@dataclasses.dataclass(frozen=True)
class ReviewSummary:
    """Summary of a review page.

    Attributes:
        doubtful: number of rows decided `review`.
        audited: number of rows on the page from the audit sample of `score --audit`.
        missing: number of images that cannot be shown, by failure code.
        suspects: number of accepted images on the page whose labels may be wrong.
        fields: number of fields whose digits are shown together.
        members: number of digits that are on the page only because of their field.
    """

    page: str
    run: str
    model: str
    doubtful: int
    shown: int
    missing: dict[str, int]
    suspects: int = 0
    audited: int = 0
    fields: int = 0
    members: int = 0

    def as_data(self) -> dict[str, Any]:
        """Return the summary as JSON data."""
        return dataclasses.asdict(self)

    def table(self) -> str:
        """Return the lines to print."""
        rows = {"for review": f"{self.doubtful:,}"}
        if self.audited:
            rows["accepted"] = f"{self.audited:,} drawn at random, among the others"
        if self.fields:
            rows["fields"] = f"{self.fields:,}, each with all of its digits"
        rows["shown"] = self._shown()
        if self.missing:
            codes = ", ".join(f"{code} {count:,}" for code, count in sorted(self.missing.items()))
            rows["not shown"] = f"{sum(self.missing.values()):,} ({codes}), named on the page"
        rows["page"] = self.page
        if self.shown:
            if self.audited:
                rows["audit"] = f"digitmill audit {self.run} {labels.FILE}"
            rows["then"] = (
                f"digitmill train --recipe … --init {self.model} --data … --data labels:{labels.FILE} "
                "--output …"
            )
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())

    def _shown(self) -> str:
        looked_at = self.shown - self.suspects - self.members + sum(self.missing.values())
        whole = self.doubtful + self.audited
        shown = f"{self.shown:,}" + (", the least sure ones" if looked_at < whole else "")
        shown += f", {self.suspects:,} of them for their labels" if self.suspects else ""
        return shown + (f", {self.members:,} of them other digits of fields" if self.members else "")


def run(options: ReviewOptions) -> ReviewSummary:
    """Write the page.

    Raises:
        UserError: when the output is not a finished run, or the page cannot be written.
        StorageError: when files of the run are missing or damaged, or its images are out of reach.
    """
    past = open_finished_run(
        options.output,
        hint="name the output of `digitmill score`, or merge several by `digitmill compact` first",
    )
    folder, name = _target(options, past)
    folder.claim()
    audited, doubtful = rows_to_label(past, options.limit)
    # The audit sample comes first, so its indices do not depend on the limit. No other accepted rows are
    # mixed in.
    rows = [*audited, *doubtful, *([] if audited else label_doubts(past))]
    # Fields are left out of an audit: their other digits would give away which ones are audited.
    fields = [] if audited else fields_to_label(past, {row.uri for row in doubtful}, options.limit)
    named = {image for field in fields for image in field.images}
    rows += member_rows(past, named - {row.uri for row in rows})
    pictures, errors = _read(rows)
    page = render_review(past, rows, pictures=pictures, errors=errors, fields=fields, blind=bool(audited))
    folder.replace(name, page.encode())
    codes = collections.Counter(str(error.code) for error in errors.values())
    counts = past.manifest.counts
    return ReviewSummary(
        page=folder.at(name),
        model=str(past.manifest.model.get("path", "BUNDLE")),
        run=printable(options.output.rstrip("/")),
        audited=len(audited),
        doubtful=counts.scored - past.manifest.accepted,
        shown=len(pictures),
        missing=dict(codes),
        suspects=sum(rows[place].suspect for place in pictures),
        fields=len(fields),
        members=sum(rows[place].member for place in pictures),
    )


def _target(options: ReviewOptions, past: PastRun) -> tuple[OutputFolder, str]:
    """Return the folder for the page, and the page's file name."""
    if options.page is None:
        return open_folder(past.place), REVIEW_PAGE
    folder, _, name = options.page.rpartition("/")
    if not name or folder in ("gs:", "gs:/"):
        raise UserError(
            "--page does not name a file",
            value=options.page,
            hint="name a file on disk or in a bucket, such as page.html",
        )
    return open_folder(folder or ("/" if options.page.startswith("/") else ".")), name


def _read(rows: Sequence[ReviewRow]) -> tuple[dict[int, Picture], dict[int, ImageError]]:
    """Return the pictures and the errors of the rows, each by row index."""
    pictures: dict[int, Picture] = {}
    errors: dict[int, ImageError] = {}
    bar = progress_bar(total=len(rows), unit=" images", desc="reading")
    with ImageReader() as reader, bar:
        for place, picture in read_pictures(rows, reader):
            if isinstance(picture, ImageError):
                errors[place] = picture
            else:
                pictures[place] = picture
            bar.update()
    failures = [
        # Count files, not members: a member's error does not show that storage is unreachable.
        make_failure(rows[place].file, error)
        for place, error in errors.items()
    ]
    refuse_outage(failures, listed=len(rows))
    return pictures, errors
