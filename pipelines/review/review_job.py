"""The reviewing run: the least sure rows of a finished run, their pictures, and the page that shows them."""

import collections
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any, Final

from tqdm import tqdm

from digitmill.storage import ImageReader, OutputFolder, open_folder
from digitmill.storage.outage import refuse_outage
from pipelines.history.past_runs import PastRun, open_run
from pipelines.review.review_images import Picture, read_pictures
from pipelines.review.review_page import render_review
from pipelines.review.review_rows import Doubt, least_sure
from schemas import labels, manifest
from schemas.errors import UserError
from schemas.failure import Failure, ImageError

PAGE: Final = "review.html"
"""The page, in the run's output folder."""

LIMIT: Final = 5_000
"""Images on a page: a day's work for one person."""


@dataclasses.dataclass(frozen=True)
class ReviewOptions:
    """What a reviewing run is asked to do.

    Attributes:
        output: output folder of a finished run, local or in a `gs://` bucket.
        limit: greatest number of images on the page.
        page: where the page is written; None for `PAGE` in the output.
    """

    output: str
    limit: int = LIMIT
    page: str | None = None


@dataclasses.dataclass(frozen=True)
class ReviewSummary:
    """A page in a few lines.

    Attributes:
        page: where it is.
        model: the bundle that scored the run.
        doubtful: rows of the run that were decided `review`.
        shown: images on the page.
        missing: images that the page names and cannot show, by failure code.
    """

    page: str
    model: str
    doubtful: int
    shown: int
    missing: dict[str, int]

    def as_data(self) -> dict[str, Any]:
        """Returns the same in JSON's types."""
        return dataclasses.asdict(self)

    def table(self) -> str:
        """Returns the lines to print."""
        rows = {"for review": f"{self.doubtful:,}", "shown": self._shown()}
        if self.missing:
            codes = ", ".join(f"{code} {count:,}" for code, count in sorted(self.missing.items()))
            rows["not shown"] = f"{sum(self.missing.values()):,} ({codes}), named on the page"
        rows["page"] = self.page
        if self.shown:
            rows["then"] = (
                f"digitmill train --recipe … --init {self.model} --data … --data labels:{labels.FILE} "
                "--output …"
            )
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())

    def _shown(self) -> str:
        looked_at = self.shown + sum(self.missing.values())
        return f"{self.shown:,}" + (", the least sure ones" if looked_at < self.doubtful else "")


def run(options: ReviewOptions) -> ReviewSummary:
    """Writes the page.

    Raises:
        UserError: when the output is no finished run, or the page cannot be written.
        StorageError: when files of the run are gone or damaged, or where its images are is out of reach.
    """
    past = _open(options.output)
    folder, name = _target(options, past)
    folder.claim()
    doubts = least_sure(past, options.limit)
    pictures, errors = _read(doubts)
    page = render_review(past, doubts, pictures=pictures, errors=errors)
    folder.replace(name, page.encode())
    codes = collections.Counter(str(error.code) for error in errors.values())
    counts = past.manifest.counts
    return ReviewSummary(
        page=folder.at(name),
        model=str(past.manifest.model.get("path", "BUNDLE")),
        doubtful=counts.scored - past.manifest.accepted,
        shown=len(pictures),
        missing=dict(codes),
    )


def _open(output: str) -> PastRun:
    past = open_run(output)
    if past is None:
        raise UserError(
            f"a review is of one finished run, a folder with a {manifest.FILE}",
            got=output,
            remedy="name the output of `digitmill score`; merge several by `digitmill compact` first",
        )
    return past


def _target(options: ReviewOptions, past: PastRun) -> tuple[OutputFolder, str]:
    """Returns the folder that the page goes to, and its name there."""
    if options.page is None:
        return open_folder(past.place), PAGE
    folder, _, name = options.page.rpartition("/")
    if not name or folder in ("gs:", "gs:/"):
        raise UserError(
            "--page names a file, on disk or in gs://", got=options.page, remedy="write FILE.html"
        )
    return open_folder(folder or ("/" if options.page.startswith("/") else ".")), name


def _read(doubts: Sequence[Doubt]) -> tuple[dict[int, Picture], dict[int, ImageError]]:
    """Returns by place the pictures, and why there are none of the others."""
    pictures: dict[int, Picture] = {}
    errors: dict[int, ImageError] = {}
    # Without a terminal tqdm would write its bar over and over into the log.
    bar = tqdm(
        total=len(doubts), unit=" images", desc="reading", disable=not sys.stderr.isatty(), leave=False
    )
    with ImageReader() as reader, bar:
        for place, picture in read_pictures(doubts, reader):
            if isinstance(picture, ImageError):
                errors[place] = picture
            else:
                pictures[place] = picture
            bar.update()
    failures = [
        # Of the file: whether the storage is out of reach is not seen by looking for an archive's member.
        Failure(doubts[place].file.uri, doubts[place].generation, error.code, error.detail)
        for place, error in errors.items()
    ]
    refuse_outage(failures, listed=len(doubts))
    return pictures, errors
