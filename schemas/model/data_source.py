"""What a model was trained on, source by source, and under which licenses."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class DataSource:
    """One source of the data of a training.

    Attributes:
        source: its `--data` value, without a weight.
        images: training, validation and test images.
        digest: sum of the SHA-256 of each image with its label, modulo 2**256, hexadecimal: the same whatever
            the order and the splits.
        name: what the data is called; empty if unknown, as the following two.
        license: under which it may be used.
        credit: who made it, as the license asks it to be said.
        families: of fonts, the families of each split.
    """

    source: str
    images: int
    digest: str
    name: str = ""
    license: str = ""
    credit: str = ""
    families: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
