"""What a model was trained on, source by source, and under which licenses."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class DataSource:
    """One source of training data.

    Attributes:
        source: its `--data` value, without a weight.
        images: training, validation and test images.
        digest: sum of the SHA-256 of each image with its label, modulo 2**256, hexadecimal; independent of
            order and splits.
        name: name of the data; empty if unknown.
        license: license of the data; empty if unknown.
        credit: attribution that the license requires; empty if unknown.
        families: font families of each split, for rendered fonts.
    """

    source: str
    images: int
    digest: str
    name: str = ""
    license: str = ""
    credit: str = ""
    families: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
