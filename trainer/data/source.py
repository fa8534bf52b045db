"""Finds the source that `--data` names."""

import difflib
from typing import Protocol

from schemas.errors import UserError
from trainer.data.splits import Digits

_KINDS = ("sample", "tfds:NAME", "folder:PATH", "tfrecord:GLOB")


class Source(Protocol):
    """Where labelled digits come from. Making one checks what can be checked at once; reading may be long."""

    def read(self, *, validation_fraction: float) -> Digits:
        """Returns the labelled digits.

        Args:
            validation_fraction: share of the training images to hold out where the source has no
                validation split of its own, in [0, 1).

        Raises:
            UserError: when the source cannot be used.
        """
        ...


def open_source(spec: str, *, data_dir: str | None = None) -> Source:
    """Returns the source that a `--data` value names; no image is read yet, no TensorFlow imported.

    Args:
        spec: `sample`, `tfds:NAME`, `folder:PATH` or `tfrecord:GLOB`.
        data_dir: where `tfds:` keeps prepared data, local or gs://; its own default when None.

    Raises:
        UserError: when it names no source, or one that is seen at once to be unusable.
    """
    kind, colon, name = spec.partition(":")
    if spec == "sample":
        from trainer.data.sample import SampleSource

        return SampleSource()
    if kind == "tfds" and name:
        from trainer.data.catalog import CatalogSource

        return CatalogSource(name, data_dir)
    if kind == "folder" and name:
        from trainer.data.folder import FolderSource

        return FolderSource(name)
    if kind == "tfrecord" and name:
        from trainer.data.records import RecordsSource

        return RecordsSource(name)
    raise UserError(
        f"--data is {', '.join(_KINDS[:-1])} or {_KINDS[-1]}", got=spec, remedy=_remedy(spec, colon)
    )


def _remedy(spec: str, colon: str) -> str:
    if not colon and "/" in spec:
        return f"for a folder of images, folder:{spec}"
    if close := difflib.get_close_matches(spec, ("sample", "tfds:mnist", "folder:"), n=1):
        return f"did you mean {close[0]}?"
    return (
        f"for the data set of that name, tfds:{spec}" if not colon and spec else "tfds:mnist is the usual one"
    )
