"""How labeled image files are read and decoded."""

import contextlib
import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from digitmill.imaging.batch import decode_batch
from digitmill.storage import ImageReader, ReadLimits
from digitmill.storage.local_input import stat_file
from digitmill.storage.names import path_of, place_of
from digitmill.storage.object_stores.uris import is_object
from schemas.failure import FailureCode, ImageError
from trainer.data.reading import Decode, DecodedBatch, ReadPlan, Workers
from trainer.data.sources.file_list import FileList, LabeledFile

_CHUNK: Final = 1_024
_CONNECTIONS: Final = 43
"""To an object store: 32 objects are read at once, since reading mostly waits for the network."""

_LEAST_CONNECTIONS: Final = 4
"""Of a process, however many there are."""


class _Chunk(NamedTuple):
    """Some image files, with their positions in the source."""

    positions: np.ndarray
    files: Sequence[LabeledFile]


def read_plan(name: str, files: FileList, *, given: str, workers: Workers) -> ReadPlan:
    """Return the plan of image files that are split by their pixels.

    Args:
        name: the `--data` value.
        files: the images.
        given: the input that they were listed from; messages use names relative to it.
        workers: the workers that share the files, which the chief has listed for all.
    """
    return ReadPlan(
        name,
        len(files),
        made_from=[files.digest],
        chunks=lambda shard: itertools.starmap(_Chunk, files.select(shard, most=_CHUNK)),
        decoder=functools.partial(_decoder, given=given, listed_here=workers.index == 0),
    )


@contextlib.contextmanager
def _decoder(processes: int, *, given: str, listed_here: bool) -> Iterator[Decode]:
    limits = ReadLimits(connections=max(_LEAST_CONNECTIONS, _CONNECTIONS // processes), processes=processes)
    with ImageReader(limits) as reader:
        yield functools.partial(_decode, reader=reader, given=given, listed_here=listed_here)


def _decode(chunk: _Chunk, *, reader: ImageReader, given: str, listed_here: bool) -> DecodedBatch:
    files = chunk.files if listed_here else list(map(_as_here, chunk.files))
    return DecodedBatch(
        positions=chunk.positions,
        names=[place_of(one.image.uri, given) for one in chunk.files],
        labels=np.array([one.label for one in chunk.files], np.int64),
        decoded=decode_batch(_contents(files, reader), len(files)),
    )


def _as_here(file: LabeledFile) -> LabeledFile:
    """Return a file of a disk with the time that it has on this machine: the chief may have listed a copy."""
    # One whose content was given along has a name that need not be a place.
    if file.content or is_object(file.image.uri):
        return file
    here = stat_file(path_of(file.image.uri))
    return file._replace(image=file.image._replace(generation=here.generation))


def _contents(files: Sequence[LabeledFile], reader: ImageReader) -> Iterator[bytes | ImageError]:
    """Yield the bytes of each image in order, or the error of one that can't be read."""
    read = reader.read(one.image for one in files if not one.content)
    for one in files:
        content = one.content or next(read)
        if one.sha256 and not one.content and isinstance(content, bytes):
            found = hashlib.sha256(content).hexdigest()
            if found != one.sha256:
                content = ImageError(
                    FailureCode.CHANGED, f"its SHA-256 is {found}, {one.sha256} was written down"
                )
        yield content
