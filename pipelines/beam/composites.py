"""Transforms for other Beam pipelines: names of images in, digits or predictions out.

`digitmill score` writes files and proves that every image has one outcome. These transforms return elements
instead; the surrounding pipeline counts and writes them.
"""

import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.shared import Shared

from digitmill.engines.bundle_loader import open_bundle
from digitmill.engines.engine_choice import EngineKind
from digitmill.imaging.batch import decode_batch
from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import may_be_archive, uri_in
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.work_item import ITEM_SIZE, make_failure
from pipelines.scoring.classify import Classifier, load_classifier, split_chunks
from pipelines.scoring.page_members import OwnedContent, PagedContents
from pipelines.scoring.rows import iter_predictions
from pipelines.scoring.scorer import read_archive
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from schemas.prediction import Pages

PREDICTIONS: Final = "predictions"
"""Tag of the main output of `ClassifyImages`."""

DIGITS: Final = "digits"
"""Tag of the main output of `ReadDigits`."""

FAILURES: Final = "failures"
"""Tag of the images without a prediction or digit."""

BATCH_NAMES: Final = 512
"""Names in a batch: shuffling then costs per batch, and no pixels are shuffled."""

Name = str | ListedImage
"""An absolute path, a file:///, gs://, s3:// or az:// URI, or a listed image."""


class ClassifyImages(beam.PTransform):
    """Maps a PCollection of names (`str`) to predictions and failures, one element per image.

    Outputs are tagged: `.predictions` are `schemas.prediction.Prediction`, `.failures` are
    `schemas.failure.Failure`. An archive's name stands for the images in it, and that of a file with
    several pages for its pages. A name costs one more request
    than a `digitmill.storage.listed_image.ListedImage`, which is pinned to its generation and passes its
    label on.

    Args:
        model: folder of a model bundle, local or in a bucket. The model travels with the pipeline.
        engine: one of `EngineKind`.
        accept_threshold: confidence from which a prediction is accepted; None for the model's own.
        challenger: folder of a second model's bundle, or None.
        limits: limits on a worker's requests to object stores.
        pages: whether all pages of a file are images, or the first.

    Raises:
        UserError: when a bundle cannot be used.
    """

    def __init__(
        self,
        model: str | pathlib.Path,
        *,
        engine: str = EngineKind.AUTO,
        accept_threshold: float | None = None,
        challenger: str | pathlib.Path | None = None,
        limits: ReadLimits | None = None,
        pages: str = Pages.ALL,
    ) -> None:
        super().__init__()
        bundle = open_bundle(model, engine).carry()
        load = functools.partial(
            load_classifier,
            bundle,
            accept_threshold=bundle.card.accept_threshold if accept_threshold is None else accept_threshold,
            challenger=None if challenger is None else open_bundle(challenger, engine).carry(),
        )
        self._batches = _ClassifyBatch(load, limits or ReadLimits(), Pages(pages))

    def expand(self, names: beam.PCollection) -> Any:
        """Batches the names, distributes them and scores them."""
        classify = beam.ParDo(self._batches).with_outputs(FAILURES, main=PREDICTIONS)
        return _spread(names) | "Classify" >> classify


class ReadDigits(beam.PTransform):
    """Maps a PCollection of names (`str`) to canonical digits and failures, one element per image.

    Outputs are tagged: `.digits` are pairs of a URI and a uint8[28, 28], as
    `apache_beam.ml.inference.base.KeyedModelHandler` takes them; `.failures` are
    `schemas.failure.Failure`. Names are those of `ClassifyImages`.

    Args:
        limits: limits on a worker's requests to object stores.
        pages: whether all pages of a file are images, or the first.
    """

    def __init__(self, limits: ReadLimits | None = None, *, pages: str = Pages.ALL) -> None:
        super().__init__()
        self._batches = _ReadBatch(limits or ReadLimits(), Pages(pages))

    def expand(self, names: beam.PCollection) -> Any:
        """Batches the names, distributes them, reads and decodes."""
        return _spread(names) | "Read" >> beam.ParDo(self._batches).with_outputs(FAILURES, main=DIGITS)


def _spread(names: beam.PCollection) -> beam.PCollection:
    """Map a PCollection of names to batches of names, distributed over the workers."""
    batched = "Batch" >> beam.BatchElements(min_batch_size=BATCH_NAMES, max_batch_size=BATCH_NAMES)
    return names | batched | "Spread" >> beam.Reshuffle()


class _ClassifyBatch(beam.DoFn):
    def __init__(self, load: Callable[[], Classifier], limits: ReadLimits, pages: Pages) -> None:
        super().__init__()
        self._load = load
        self._limits = limits
        self._pages = pages
        self._shared_classifier, self._shared_reader = Shared(), Shared()

    def setup(self) -> None:
        """Load the models and open storage, once per worker process."""
        self._classifier: Classifier = self._shared_classifier.acquire(self._load)
        self._reader: ImageReader = self._shared_reader.acquire(lambda: ImageReader(self._limits))

    def process(self, names: Sequence[Name]) -> Iterator[Any]:
        """Yield a prediction or a failure for each image."""
        contents = iter(read_contents(names, self._reader, self._pages))
        while True:
            scored = self._classifier.classify(itertools.islice(contents, ITEM_SIZE))
            if not scored.images and not scored.failures:
                return
            yield from iter_predictions(scored)
            for failure in scored.failures:
                yield TaggedOutput(FAILURES, failure)


class _ReadBatch(beam.DoFn):
    def __init__(self, limits: ReadLimits, pages: Pages) -> None:
        super().__init__()
        self._limits = limits
        self._pages = pages
        self._shared_reader = Shared()

    def setup(self) -> None:
        """Open storage, once per worker process."""
        self._reader: ImageReader = self._shared_reader.acquire(lambda: ImageReader(self._limits))

    def process(self, names: Sequence[Name]) -> Iterator[Any]:
        """Yield a digit or a failure for each image."""
        for chunk in split_chunks(read_contents(names, self._reader, self._pages)):
            batch = decode_batch((content for _, content in chunk), len(chunk))
            for (image, _), digit, error in zip(chunk, batch.digits, batch.errors, strict=True):
                if error is None:
                    # A copy, because a view would keep the whole chunk in memory.
                    yield image.uri, digit.copy()
                else:
                    yield TaggedOutput(FAILURES, make_failure(image, error))


def read_contents(names: Sequence[Name], reader: ImageReader, pages: Pages = Pages.ALL) -> PagedContents:
    """Return each image with its content or error, including members of archives and pages of files."""
    return PagedContents(_read_files(names, reader), pages)


def _read_files(names: Sequence[Name], reader: ImageReader) -> Iterator[OwnedContent]:
    images = [name for name in names if isinstance(name, ListedImage)]
    uris = []
    # Relative paths are relative to the worker's working directory.
    here = pathlib.Path.cwd() / "names"
    for name in names:
        if isinstance(name, str):
            try:
                uris.append(uri_in(name, here))
            except UserError as error:
                yield (
                    ListedImage(name, generation=0, size=-1),
                    ImageError(FailureCode.UNREADABLE, error.error),
                )
    images += reader.find(uris)
    plain = [image for image in images if not may_be_archive(image.uri)]
    yield from zip(plain, reader.read(plain), strict=True)
    for archive in images:
        if may_be_archive(archive.uri):
            yield from read_archive(archive, reader, folder_labels=False)
