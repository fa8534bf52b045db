"""Names of the files in the output folder of a scoring run, with `/` as the separator.

The names of the manifest and of the run plan are defined with their formats, as `schemas.manifest.FILE` and
`schemas.run_plan.FILE`.
"""

import enum
from typing import Final

PREDICTIONS: Final = "predictions"
"""Folder of the prediction files."""

STATISTICS: Final = "statistics"
"""Folder of the work items' statistics records."""

LISTING: Final = "listing"
"""Folder of the listing files: work items, and results of the join with earlier runs."""

LISTING_INDEX: Final = f"{LISTING}/index.json"
"""What the launcher listed, and the ranges it left to workers; written after its listing files."""

MODELS: Final = "models"
"""Folder of the models that workers in other processes read; removed before the manifest is written."""

LABELS_INDEX: Final = f"{LISTING}/labels.json"
"""Index of the label files: where each one begins; written after them."""

REPORTS: Final = "reports"
"""Folder of the CSV reports and charts."""

FOLDERS: Final = (PREDICTIONS, REPORTS, STATISTICS, LISTING, MODELS)
"""Folders of an output that contain only files written by a run."""

FAILURES: Final = f"{REPORTS}/failures.csv"
"""Images without a prediction, one per row; if there are very many, the first ones."""

FIELDS: Final = f"{REPORTS}/fields.csv"
"""Fields, one per row; if there are very many, the first ones."""

REPORT_PAGE: Final = "report.html"
"""The report as one HTML page."""

DISTRIBUTIONS: Final = f"{REPORTS}/distributions.csv"
"""Distributions of a run's images: the reference for the next run's drift."""

PREVIOUS_DISTRIBUTIONS: Final = f"{REPORTS}/previous_distributions.csv"
"""Distributions of the previous run, kept so that the report can be rebuilt without that run."""

AUDIT: Final = f"{REPORTS}/audit.csv"
"""The sample of accepted images for people to check."""

PAST_AUDITS: Final = f"{REPORTS}/past_audits.csv"
"""Audit results of the earlier runs, kept for the error rate over all of them."""

MODEL_CARD: Final = f"{REPORTS}/model_card.json"
"""Copy of the model's card."""

REVIEW_PAGE: Final = "review.html"
"""The page on which people label images."""


def statistics_name(digest: str) -> str:
    """Return the name of a work item's statistics record."""
    return f"{STATISTICS}/{record_name(digest)}"


def record_name(digest: str) -> str:
    """Return the name of a statistics record relative to its folder, as `OutputFolder.names` lists it."""
    return f"part-{digest}.json"


def staged_model(digest: str, name: str = "") -> str:
    """Return the path of a bundle file staged for workers, or of the bundle's folder without a `name`."""
    return f"{MODELS}/{digest[:32]}/{name}".rstrip("/")


def is_record(name: str) -> bool:
    """Whether a file is a work item's statistics record."""
    return name.startswith(statistics_name("").removesuffix(".json"))


def launcher_listing(number: int) -> str:
    """Return the name of a listing file written by the launcher."""
    return f"{LISTING}/launcher-{number:05d}.json.gz"


def range_listing(digest: str, number: int) -> str:
    """Return the name of a listing file that a worker writes for the key range with this digest."""
    return f"{LISTING}/range-{digest}-{number:05d}.json.gz"


def failure_table(number: int) -> str:
    """Return the name of a CSV of failures. Nearly every run has only number 0."""
    return f"{REPORTS}/failures-{number:05d}.csv" if number else FAILURES


def is_failure_table(name: str) -> bool:
    """Whether a file is a CSV of failures."""
    return name == FAILURES or name.startswith(f"{REPORTS}/failures-")


def field_table(number: int) -> str:
    """Return the name of a CSV of fields. Nearly every run has only number 0."""
    return f"{REPORTS}/fields-{number:05d}.csv" if number else FIELDS


def is_field_table(name: str) -> bool:
    """Whether a file is a CSV of fields."""
    return name == FIELDS or name.startswith(f"{REPORTS}/fields-")


def named_listing(number: int) -> str:
    """Return the name of a file with names from an input list, for workers to look up."""
    return f"{LISTING}/named-{number:05d}.json.gz"


def labels_listing(number: int) -> str:
    """Return the name of a label file for the images that workers list."""
    return f"{LISTING}/labels-{number:05d}.json.gz"


def bucket_listing(number: int) -> str:
    """Return the name of the file with one bucket of the join with earlier runs."""
    return f"{LISTING}/bucket-{number:05d}.json.gz"


def joined_listing(group: int, number: int) -> str:
    """Return the name of a listing file with images that the join left to score."""
    return f"{LISTING}/joined-{group:05d}-{number:05d}.json.gz"


def part_order(listing: str, number: int) -> str:
    """Return the part of a prediction file's name that gives its work item's place in the listing.

    Files sorted by name are in the order of the listing. The names have no total such as "of 30": a local
    run scores before it has listed everything, and a resumed run must give the same names. In a key range
    that a worker lists, the place is relative to the range.

    Args:
        listing: name of the listing file with the item.
        number: the item's number in that file, after archives are separated.
    """
    kind, _, place = listing.removeprefix(f"{LISTING}/").removesuffix(".json.gz").partition("-")
    # Letters sort after the numbers of the launcher's files, which come first in the listing.
    start = f"r{place}" if kind == "range" else place
    # An underscore sorts after the hyphen before the digest.
    return f"{start}_{number:05d}" if number else start


def merged_listing(bucket: int) -> str:
    """Return the name of the listing file that `compact` writes for one bucket."""
    return f"{LISTING}/merged-{bucket:05d}.json.gz"


def is_bucket(name: str) -> bool:
    """Whether a file is one bucket of the join with earlier runs."""
    return name.startswith(f"{LISTING}/bucket-")


def is_joined(name: str) -> bool:
    """Whether a listing file has images that the join left to score."""
    return name.startswith(f"{LISTING}/joined-")


def is_listed(name: str) -> bool:
    """Whether a listing file has images as the run listed them, before any join."""
    return name.startswith((f"{LISTING}/launcher-", f"{LISTING}/range-", f"{LISTING}/merged-"))


def is_merged(name: str) -> bool:
    """Whether a listing file was written by `compact`."""
    return name.startswith(f"{LISTING}/merged-")


def is_inside(name: str) -> bool:
    """Whether a name stays inside its folder. Names may come from untrusted files."""
    return "\0" not in name and not {"", ".", ".."} & {*name.split("/")}


ORIGINALS: Final = f"{REPORTS}/originals.json"
"""Thumbnails of the images in the page's galleries, by URI."""


class Detail(enum.StrEnum):
    """How much a run reports: tables, page and chart files; tables and page; or tables only."""

    FULL = "full"
    LIGHT = "light"
    NONE = "none"


class Compression(enum.StrEnum):
    """Which prediction files are gzipped."""

    RECORDS = "records"
    ALL = "all"
    NONE = "none"


class Format(enum.StrEnum):
    """Formats of prediction files."""

    CSV = "csv"
    TFRECORD = "tfrecord"
    PARQUET = "parquet"


DEFAULT_FORMATS: Final = (Format.CSV, Format.TFRECORD)
"""Default formats of a run; runs of earlier versions all have them."""


def format_of(name: str) -> Format | None:
    """Return the format of a file by its extension, ignoring `.gz`; None for other files."""
    ending = name.removesuffix(".gz").rpartition(".")[2]
    # A Parquet file compresses its own pages.
    known = {*Format} - ({Format.PARQUET} if name.endswith(".gz") else set())
    return Format(ending) if ending in known else None


def parse_formats(text: object) -> tuple[Format, ...]:
    """Parse a value of --format, from a flag or a run's record, without duplicates.

    Raises:
        ValueError: for an unknown format.
    """
    names = {name.strip().lower() for name in str(text or "").split(",")} - {""}
    found = {Format(name) for name in names}
    return tuple(each for each in Format if each in found) or DEFAULT_FORMATS
