"""Packed images: the TFRecord of an unchanged image file, and the manifest of a finished pack."""

import dataclasses
from collections.abc import Mapping
from typing import Final

from schemas.columns import Column, FeatureSpec, feature_spec_of
from schemas.digit import NOT_A_DIGIT
from schemas.failure import FailureCode
from schemas.manifest import Part
from schemas.prediction import NO_LABEL
from schemas.versioned import VersionedRecord

ENCODED: Final = "image/encoded"
NAME: Final = "image/name"
LABEL: Final = "image/label"
GENERATION: Final = "image/generation"

COLUMNS: Final = (
    Column(ENCODED, "bytes", nullable=False, description="The image file's bytes as they were."),
    Column(NAME, "string", nullable=False, description="URI that the image was packed from.", unique=True),
    Column(
        LABEL,
        "integer",
        nullable=True,
        description=f"The true digit, where labels were given; {NOT_A_DIGIT} for none.",
        minimum=0,
        maximum=NOT_A_DIGIT,
    ),
    Column(
        GENERATION,
        "integer",
        nullable=False,
        description="Version of the image that was packed: object generation, or modification time in ns.",
        minimum=0,
    ),
)

FORMAT: Final = 1
"""Version of the record and of its manifest; readers refuse others."""

_KIND: Final = "packed images"


def feature_spec() -> FeatureSpec:
    """Return shape, dtype and default of each feature, as `schemas.prediction.feature_spec` does."""
    return feature_spec_of(COLUMNS, {"integer": NO_LABEL})


@dataclasses.dataclass(frozen=True)
class PackManifest(VersionedRecord, what=f"a manifest of {_KIND}", kind=_KIND, format=FORMAT):
    """Manifest of one finished pack, `schemas.manifest.FILE`; written last.

    Attributes:
        listed: images in the inputs; listed = packed + failed.
        packed: records in the shards.
        failed: images that could not be read.
        labeled: records with a label.
        failures: number of failed images per failure code.
        options: options that change what is written.
        versions: version of each library used.
        times: start and end (UTC, ISO 8601) and the pipeline's seconds.
        parts: every shard and report, sorted by name.
        ignored: files left out: junk, and files that the options exclude.
        vanished: folders that disappeared while they were listed.
    """

    listed: int
    packed: int
    failed: int
    labeled: int
    failures: Mapping[str, int]
    inputs: tuple[str, ...]
    options: Mapping[str, str | int | float | None]
    versions: Mapping[str, str]
    times: Mapping[str, str | float]
    parts: tuple[Part, ...]
    ignored: int = 0
    vanished: int = 0

    def __post_init__(self) -> None:
        if self.listed != self.packed + self.failed:
            raise ValueError(f"{self.listed} listed, but {self.packed} packed + {self.failed} failed")
        if set(self.failures) != set(FailureCode):
            raise ValueError(f"failures must have every code once: {sorted(self.failures)}")
        if sum(self.failures.values()) != self.failed:
            raise ValueError(f"failures do not add up to {self.failed}: {dict(self.failures)}")
        if not 0 <= self.labeled <= self.packed:
            raise ValueError(f"{self.labeled} labeled of {self.packed} packed")
