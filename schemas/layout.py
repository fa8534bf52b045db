"""Names of the files in the output folder of a scoring run, with `/`.

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
"""Folder of the listing files, which hold work items and what was joined with earlier runs."""

LISTING_INDEX: Final = f"{LISTING}/index.json"
"""What the launcher listed, and the ranges that it left to the workers; written after its listing files."""

MODELS: Final = "models"
"""Folder of the models that workers of other processes read; removed before the manifest is written."""

LABELS_INDEX: Final = f"{LISTING}/labels.json"
"""What the files of labels begin with; written after them."""

REPORTS: Final = "reports"
"""Folder of the CSV reports and charts."""

FOLDERS: Final = (PREDICTIONS, REPORTS, STATISTICS, LISTING, MODELS)
"""Folders of an output that hold nothing but what a run has written."""

FAILURES: Final = f"{REPORTS}/failures.csv"
"""One row per image without a prediction; of very many, the first ones."""

FIELDS: Final = f"{REPORTS}/fields.csv"
"""One row per field; of very many, the first ones."""

REPORT_PAGE: Final = "report.html"
"""The report as one page."""

DISTRIBUTIONS: Final = f"{REPORTS}/distributions.csv"
"""Distributions of a run's images: the reference for the next run's drift."""

PREVIOUS_DISTRIBUTIONS: Final = f"{REPORTS}/previous_distributions.csv"
"""Distributions of the previous run, kept so that the report can be rebuilt without that run."""

AUDIT: Final = f"{REPORTS}/audit.csv"
"""The accepted images that people are to check."""

PAST_AUDITS: Final = f"{REPORTS}/past_audits.csv"
"""What audits have found in the earlier runs, kept for the figure over all of them."""

MODEL_CARD: Final = f"{REPORTS}/model_card.json"
"""Copy of the model's card."""

REVIEW_PAGE: Final = "review.html"
"""The page on which people label images."""


def statistics_name(digest: str) -> str:
    """Return the name of a work item's statistics record."""
    return f"{STATISTICS}/{record_name(digest)}"


def record_name(digest: str) -> str:
    """Return the name of a statistics record within its folder, as `OutputFolder.names` lists it."""
    return f"part-{digest}.json"


def staged_model(digest: str, name: str = "") -> str:
    """Return the name of a bundle's file that is staged for workers; without one, that of its folder."""
    return f"{MODELS}/{digest[:32]}/{name}".rstrip("/")


def is_record(name: str) -> bool:
    """Whether a file is a work item's statistics record."""
    return name.startswith(statistics_name("").removesuffix(".json"))


def launcher_listing(number: int) -> str:
    """Return the name of a listing file that the launcher wrote."""
    return f"{LISTING}/launcher-{number:05d}.json.gz"


def range_listing(digest: str, number: int) -> str:
    """Return the name of a listing file that a worker wrote for a key range, by the range's digest."""
    return f"{LISTING}/range-{digest}-{number:05d}.json.gz"


def failure_table(number: int) -> str:
    """Return the name of a CSV of failures: one holds those of nearly every run, and is number 0."""
    return f"{REPORTS}/failures-{number:05d}.csv" if number else FAILURES


def is_failure_table(name: str) -> bool:
    """Whether a file is a CSV of failures."""
    return name == FAILURES or name.startswith(f"{REPORTS}/failures-")


def field_table(number: int) -> str:
    """Return the name of a CSV of fields: one holds those of nearly every run, and is number 0."""
    return f"{REPORTS}/fields-{number:05d}.csv" if number else FIELDS


def is_field_table(name: str) -> bool:
    """Whether a file is a CSV of fields."""
    return name == FIELDS or name.startswith(f"{REPORTS}/fields-")


def named_listing(number: int) -> str:
    """Return the name of a file with names of an input list that workers look up."""
    return f"{LISTING}/named-{number:05d}.json.gz"


def labels_listing(number: int) -> str:
    """Return the name of a file of labels for the images that workers list."""
    return f"{LISTING}/labels-{number:05d}.json.gz"


def bucket_listing(number: int) -> str:
    """Return the name of the file that holds one bucket of the join with earlier runs."""
    return f"{LISTING}/bucket-{number:05d}.json.gz"


def joined_listing(group: int, number: int) -> str:
    """Return the name of a listing file with images that the join left to score."""
    return f"{LISTING}/joined-{group:05d}-{number:05d}.json.gz"


def part_order(listing: str, number: int) -> str:
    """Return what the names of a work item's prediction files have for its place in the listing.

    Sorted by name, files are in the order of the listing. That a local run scores while it still lists is why
    names have no "of 30": they would differ in a run that was resumed once the listing was frozen. A place is
    known to the worker that scores the item, and stays. Of a key range that a worker lists, only places
    within it are.

    Args:
        listing: name of the listing file that the item is in.
        number: its number in it, once archives are separated.
    """
    kind, _, place = listing.removeprefix(f"{LISTING}/").removesuffix(".json.gz").partition("-")
    # Letters sort behind the numbers of the launcher's files, which come first in the listing.
    start = f"r{place}" if kind == "range" else place
    # An underscore sorts behind the hyphen before the digest.
    return f"{start}_{number:05d}" if number else start


def merged_listing(bucket: int) -> str:
    """Return the name of a listing file that `compact` wrote for one bucket."""
    return f"{LISTING}/merged-{bucket:05d}.json.gz"


def is_bucket(name: str) -> bool:
    """Whether a file holds one bucket of the join with earlier runs."""
    return name.startswith(f"{LISTING}/bucket-")


def is_joined(name: str) -> bool:
    """Whether a listing file holds images that the join left to score."""
    return name.startswith(f"{LISTING}/joined-")


def is_listed(name: str) -> bool:
    """Whether a listing file holds images as the run listed them, before any join."""
    return name.startswith((f"{LISTING}/launcher-", f"{LISTING}/range-", f"{LISTING}/merged-"))


def is_merged(name: str) -> bool:
    """Whether a listing file is one that `compact` wrote."""
    return name.startswith(f"{LISTING}/merged-")


def is_inside(name: str) -> bool:
    """Whether a file's name stays in its folder: names may come from a stranger's file."""
    return "\0" not in name and not {"", ".", ".."} & {*name.split("/")}


ORIGINALS: Final = f"{REPORTS}/originals.json"
"""Small pictures of the images in the page's galleries, by URI."""


class Detail(enum.StrEnum):
    """How much a run reports: tables, page and charts as files; tables and page; tables alone."""

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
"""Formats that a run writes by default, and that all runs of earlier versions have."""


def format_of(name: str) -> Format | None:
    """Return the format of a file by its name's ending, before `.gz`; None for other files."""
    ending = name.removesuffix(".gz").rpartition(".")[2]
    # A Parquet file compresses its pages itself.
    known = {*Format} - ({Format.PARQUET} if name.endswith(".gz") else set())
    return Format(ending) if ending in known else None


def parse_formats(text: object) -> tuple[Format, ...]:
    """Return the formats that a value of --format holds, as a flag or as a run has recorded it, each once.

    Raises:
        ValueError: for a name that is no format.
    """
    names = {name.strip().lower() for name in str(text or "").split(",")} - {""}
    found = {Format(name) for name in names}
    return tuple(each for each in Format if each in found) or DEFAULT_FORMATS
