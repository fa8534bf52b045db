"""Transforms for Beam pipelines of one's own: images by name in, digits or predictions out.

`digitmill score` writes files and proves that every image has one answer; these hand rows on instead,
and leave it to the pipeline around them to count and to write.
"""

import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.shared import Shared

from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_choice import EngineKind
from digitmill.imaging.batch import decode_batch
from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import may_be_archive, uri_in
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.work_item import SIZE, failure_of
from pipelines.scoring.archived_images import read_archive
from pipelines.scoring.classify import Classifier, Content, chunks, make_classifier
from pipelines.scoring.rows import predictions
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError

PREDICTIONS: Final = "predictions"
"""Tag of the predictions of `ClassifyImages`, its main output."""

DIGITS: Final = "digits"
"""Tag of the digits of `ReadDigits`, its main output."""

FAILURES: Final = "failures"
"""Tag of the images without a prediction or digit."""

BATCH_NAMES: Final = 512
"""Names that travel together: a shuffle's cost is then per batch, and no pixel is in it."""

Name = str | ListedImage
"""An absolute path, a URI of file:///, gs://, s3:// or az://, or an image as it was listed."""


class ClassifyImages(beam.PTransform):
    """PCollection of names (`str`) to predictions and failures, an element an image.

    Outputs are tagged: `.predictions` are `schemas.prediction.Prediction`, `.failures` are
    `schemas.failure.Failure`. Names of archives stand for the images in them. A name costs a look at
    the object beside its reading; a `digitmill.storage.listed_image.ListedImage` does not, is pinned to its
    generation, and hands its label on.

    Args:
        model: folder of a model bundle, which workers find under the same path.
        engine: `auto`, `litert`, `litert_int8` or `saved_model`.
        accept_threshold: confidence from which a prediction is accepted; None for the model's own.
        challenger: folder of a second model's bundle, or None.
        limits: how hard a worker may lean on an object store.

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
    ) -> None:
        super().__init__()
        bundle = open_bundle(pathlib.Path(model), engine)
        self._batches = _ClassifyBatch(
            bundle,
            accept_threshold=bundle.card.accept_threshold if accept_threshold is None else accept_threshold,
            challenger=None if challenger is None else open_bundle(pathlib.Path(challenger), engine),
            limits=limits or ReadLimits(),
        )

    def expand(self, names: beam.PCollection) -> Any:
        """Batches the names, spreads them over the workers and scores them."""
        return (
            names
            | _SpreadNames()
            | "Classify" >> beam.ParDo(self._batches).with_outputs(FAILURES, main=PREDICTIONS)
        )


class ReadDigits(beam.PTransform):
    """PCollection of names (`str`) to canonical digits and failures, an element an image.

    Outputs are tagged: `.digits` are pairs of a URI and its uint8[28, 28], as
    `apache_beam.ml.inference.base.KeyedModelHandler` takes them; `.failures` are
    `schemas.failure.Failure`. Names are those of `ClassifyImages`.

    Args:
        limits: how hard a worker may lean on an object store.
    """

    def __init__(self, limits: ReadLimits | None = None) -> None:
        super().__init__()
        self._batches = _ReadBatch(limits or ReadLimits())

    def expand(self, names: beam.PCollection) -> Any:
        """Batches the names, spreads them over the workers, reads and decodes."""
        return (
            names | _SpreadNames() | "Read" >> beam.ParDo(self._batches).with_outputs(FAILURES, main=DIGITS)
        )


class _SpreadNames(beam.PTransform):
    """PCollection of names to PCollection of lists of names, spread over the workers."""

    def expand(self, names: beam.PCollection) -> beam.PCollection:
        """Batches, then shuffles."""
        batched = "Batch" >> beam.BatchElements(min_batch_size=BATCH_NAMES, max_batch_size=BATCH_NAMES)
        return names | batched | "Spread" >> beam.Reshuffle()


class _ClassifyBatch(beam.DoFn):
    def __init__(
        self, bundle: Bundle, *, accept_threshold: float, challenger: Bundle | None, limits: ReadLimits
    ) -> None:
        super().__init__()
        self._bundle = bundle
        self._accept_threshold = accept_threshold
        self._challenger = challenger
        self._limits = limits
        self._shared_classifier, self._shared_reader = Shared(), Shared()

    def setup(self) -> None:
        """Loads the models and opens storage, once per worker process."""
        self._classifier: Classifier = self._shared_classifier.acquire(self._make_classifier)
        self._reader: ImageReader = self._shared_reader.acquire(lambda: ImageReader(self._limits))

    def process(self, names: Sequence[Name]) -> Iterator[Any]:
        """Yields a prediction or a failure an image."""
        contents = read_named(names, self._reader)
        while True:
            scored = self._classifier.classify(itertools.islice(contents, SIZE))
            if not scored.images and not scored.failures:
                return
            yield from predictions(scored)
            for failure in scored.failures:
                yield TaggedOutput(FAILURES, failure)

    def _make_classifier(self) -> Classifier:
        return make_classifier(
            self._bundle, accept_threshold=self._accept_threshold, challenger=self._challenger
        )


class _ReadBatch(beam.DoFn):
    def __init__(self, limits: ReadLimits) -> None:
        super().__init__()
        self._limits = limits
        self._shared_reader = Shared()

    def setup(self) -> None:
        """Opens storage, once per worker process."""
        self._reader: ImageReader = self._shared_reader.acquire(lambda: ImageReader(self._limits))

    def process(self, names: Sequence[Name]) -> Iterator[Any]:
        """Yields a digit or a failure an image."""
        for chunk in chunks(read_named(names, self._reader)):
            batch = decode_batch((content for _, content in chunk), len(chunk))
            for (image, _), digit, error in zip(chunk, batch.digits, batch.errors, strict=True):
                if error is None:
                    # A copy: one digit that is kept would keep its whole chunk.
                    yield image.uri, digit.copy()
                else:
                    yield TaggedOutput(FAILURES, failure_of(image, error))


def read_named(names: Sequence[Name], reader: ImageReader) -> Iterator[Content]:
    """Yields each named image with its bytes or why they cannot be had; of an archive, its members."""
    images = [name for name in names if isinstance(name, ListedImage)]
    uris = []
    # Relative paths count from the worker's folder, for want of another.
    here = pathlib.Path.cwd() / "names"
    for name in names:
        if isinstance(name, str):
            try:
                uris.append(uri_in(name, here))
            except UserError as error:
                yield ListedImage(name, generation=0, size=-1), ImageError(FailureCode.UNREADABLE, error.rule)
    images += reader.find(uris)
    plain = [image for image in images if not may_be_archive(image.uri)]
    yield from zip(plain, reader.read(plain), strict=True)
    for archive in images:
        if may_be_archive(archive.uri):
            yield from read_archive(archive, reader, folder_labels=False)
