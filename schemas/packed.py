"""The packed image record: image files as they were, in TFRecords, and what a finished pack holds."""

import dataclasses
from collections.abc import Mapping
from typing import Final, Self

from schemas import versioned
from schemas.columns import Column
from schemas.digit import CLASSES
from schemas.failure import FailureCode
from schemas.manifest import Part
from schemas.prediction import NO_LABEL

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
        description="The true digit, where labels were given.",
        minimum=0,
        maximum=CLASSES - 1,
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
"""Version of the record and of its manifest; a reader refuses another."""

_KIND: Final = "packed images"
_DTYPES = {"bytes": "string", "string": "string", "integer": "int64"}


def feature_spec() -> dict[str, tuple[tuple[int, ...], str, int | None]]:
    """Returns shape, dtype and default of each feature, in the order of `tf.io.FixedLenFeature`.

    `{name: tf.io.FixedLenFeature(*spec) for name, spec in feature_spec().items()}` is what
    `tf.io.parse_example` takes.
    """
    return {
        described.name: ((), _DTYPES[described.kind], NO_LABEL if described.nullable else None)
        for described in COLUMNS
    }


@dataclasses.dataclass(frozen=True)
class PackManifest:
    """One finished pack; written last, as `schemas.manifest.FILE`. Without one it did not happen.

    Attributes:
        listed: images of the inputs; listed = packed + failed.
        packed: records in the shards.
        failed: images that could not be read.
        labelled: records with a label.
        failures: failed images by failure code, every code named.
        inputs: what was asked for, as given.
        options: settings that change what is written.
        versions: version of each library that took part.
        times: start and end (UTC, ISO 8601) and the pipeline's seconds.
        parts: every shard and report, sorted by name.
    """

    listed: int
    packed: int
    failed: int
    labelled: int
    failures: Mapping[str, int]
    inputs: tuple[str, ...]
    options: Mapping[str, str | int | float | None]
    versions: Mapping[str, str]
    times: Mapping[str, str | float]
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if self.listed != self.packed + self.failed:
            raise ValueError(f"listed = packed + failed; got {self.listed}, {self.packed}, {self.failed}")
        if set(self.failures) != set(FailureCode):
            raise ValueError(f"failures names every code once; got {sorted(self.failures)}")
        if sum(self.failures.values()) != self.failed:
            raise ValueError(f"failures add up to {self.failed}; got {dict(self.failures)}")
        if not 0 <= self.labelled <= self.packed:
            raise ValueError(f"labelled <= packed; got {self.labelled}, {self.packed}")

    def to_json(self) -> str:
        """Returns the manifest as the text of its file."""
        return versioned.dump(dataclasses.asdict(self), kind=_KIND, format=FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a manifest.

        Raises:
            ValueError: when the text is no JSON, no such manifest, or one of another format.
        """
        fields = versioned.parse(text, f"a manifest of {_KIND}", kind=_KIND, format=FORMAT)
        with versioned.check_fields("a manifest"):
            fields["parts"] = tuple(Part(**part) for part in fields["parts"])
            fields["inputs"] = tuple(fields["inputs"])
            return cls(**fields)
