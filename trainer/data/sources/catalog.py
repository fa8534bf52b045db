"""`--data tfds:NAME`: any ten-class digit data set of TensorFlow Datasets."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from digitmill.imaging.batch import canonical_batch
from schemas.digit import CLASSES
from schemas.errors import UserError
from trainer.data.reading import ALONE, DecodedBatch, ReadOptions, ReadPlan, Shard, Workers, read
from trainer.data.splits import PARTS, Digits, held_out

_KNOWN: Final = "mnist, emnist/digits, emnist/mnist, svhn_cropped, mnist_corrupted/CORRUPTION"
_LABELS: Final = [str(label) for label in range(CLASSES)]

_TRANSPOSED: Final = frozenset({"emnist"})
"""Builders whose images are stored transposed."""

_CHUNK: Final = 1_024

_FEW: Final = 200_000
"""Training images that are kept while they are divided; of more, the labels are read first."""

_DOWNLOAD_RETRIES: Final = 3
"""TFDS's ten retries, with waits that double, take 3.4 minutes to fail without a network."""


class CatalogSource:
    """A data set of TensorFlow Datasets, with its own splits.

    Args:
        name: NAME, NAME/CONFIG or NAME:VERSION, as for `tfds.load`.
    """

    def __init__(self, name: str, reading: ReadOptions | None = None) -> None:
        self._name = f"tfds:{name}"
        self._builder_name = name
        self._reading = reading or ReadOptions()

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Return the digits of the data set, after downloading and preparing it if necessary.

        It initializes TensorFlow's devices: the strategy must exist before.
        """
        with _quiet_loggers("absl", "urllib3"):
            builder = self._builder()
            # Before anything is downloaded, if possible.
            _check_features(self._name, builder.info.features)
            self._prepare(builder)
            # Again: some builders learn the names of their classes from the download.
            _check_features(self._name, builder.info.features)
            sizes = {name: builder.info.splits[name].num_examples for name in self._split_names(builder)}
            plan = ReadPlan(
                self._name,
                sum(sizes.values()),
                made_from=None,  # prepared data is already a cache
                chunks=lambda shard: self._batches(builder, sizes, fraction=validation_fraction, shard=shard),
            )
            return read(plan, reading=self._reading, workers=workers)

    def _builder(self) -> Any:
        import tensorflow_datasets as tfds

        readable = self._user_errors(
            "cannot read the --data-dir", hint="check the place and your right to read it"
        )
        known = self._user_errors(
            "unknown to TensorFlow Datasets",
            hint=f"digit sets are {_KNOWN}",
            # Unknown data set, configuration, version or namespace.
            errors=(ValueError, AssertionError, ImportError),
        )
        with readable, known:
            return tfds.builder(self._builder_name, data_dir=self._reading.data_dir)

    def _prepare(self, builder: Any) -> None:
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.download import downloader

        if builder.is_prepared():
            return
        print(f"{self._name}: preparing it in {builder.data_dir_root}", flush=True)
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        downloader.MAX_RETRIES = _DOWNLOAD_RETRIES  # TFDS has no setting for it
        explained = self._user_errors(
            "cannot download the data set",
            hint="connect to the network, or give the --data-dir of a prepared copy",
        )
        with explained, _quiet_preparation():
            builder.download_and_prepare(download_config=config)

    def _split_names(self, builder: Any) -> list[str]:
        names = [name for name in ("train", "validation", "test") if name in builder.info.splits]
        if "train" in names and "test" in names:
            return names
        raise UserError(
            "the data set lacks a split train or test",
            value=f"{self._name} with {', '.join(builder.info.splits)}",
            hint=f"choose one of {_KNOWN}",
        )

    def _batches(
        self, builder: Any, sizes: Mapping[str, int], *, fraction: float, shard: Shard
    ) -> Iterator[DecodedBatch]:
        start = 0
        for name, size in sizes.items():
            batches = self._decoded(builder, name, start=start, shard=shard)
            part = PARTS.index(name)
            if name == "train" and "validation" not in sizes:
                yield from self._divided(builder, batches, fraction=fraction, shard=shard)
            else:
                for batch in batches:
                    yield batch._replace(parts=np.full(len(batch.labels), part, np.uint8))
            start += size

    def _divided(
        self, builder: Any, batches: Iterator[DecodedBatch], *, fraction: float, shard: Shard
    ) -> Iterator[DecodedBatch]:
        """Yield training images with their parts, which depend on all labels."""
        if shard[1] == 1 and builder.info.splits["train"].num_examples <= _FEW:
            # Keeping the decoded images is faster than reading twice.
            known = list(batches)
            batches = iter(known)
            labels = np.concatenate([batch.labels for batch in known])
        else:
            records = self._records(builder, "train", batch=_CHUNK, decode=False)
            labels = np.concatenate([record["label"] for record in records])
        parts = held_out(labels, fraction).astype(np.uint8)  # 0: training, 1: validation
        for batch in batches:
            yield batch._replace(parts=parts[batch.positions])

    def _decoded(self, builder: Any, name: str, *, start: int, shard: Shard) -> Iterator[DecodedBatch]:
        """Yield a worker's images of a split in order; the split's first image has position `start`."""
        # Images of different sizes can't be batched.
        size = 1 if None in builder.info.features["image"].shape else _CHUNK
        # The worker's first image, counting through all splits.
        first = (shard[0] - start) % shard[1]
        done = 0
        for chunk in self._records(builder, name, batch=size, only=(first, shard[1])):
            numbers = first + shard[1] * np.arange(done, done + len(chunk["label"]))
            done += len(numbers)
            pictures = [
                _as_decoded(picture, transposed=builder.name in _TRANSPOSED) for picture in chunk["image"]
            ]
            names = [f"{name}[{number}]" for number in numbers]
            yield DecodedBatch(start + numbers, names, chunk["label"], canonical_batch(pictures))

    def _records(
        self, builder: Any, name: str, *, batch: int, only: Shard = (0, 1), decode: bool = True
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield images uint8[N, height, width, channels], if decoded, and labels int64[N]."""
        import tensorflow as tf
        import tensorflow_datasets as tfds

        image = builder.info.features["image"]
        readable = self._user_errors(
            "cannot read the prepared data", hint="prepare it again in another --data-dir"
        )
        with readable:
            encoded = builder.as_dataset(
                split=name, shuffle_files=False, decoders={"image": tfds.decode.SkipDecoding()}
            )
            records = encoded.shard(only[1], only[0])
            if decode:
                records = records.map(
                    lambda record: record | {"image": image.decode_example(record["image"])},
                    num_parallel_calls=tf.data.AUTOTUNE,
                )
            else:
                records = records.map(lambda record: {"label": record["label"]})
            yield from tfds.as_numpy(records.batch(batch))

    @contextlib.contextmanager
    def _user_errors(
        self, problem: str, *, hint: str, errors: tuple[type[Exception], ...] = ()
    ) -> Iterator[None]:
        """Context that turns the many kinds of exceptions of TFDS into a UserError."""
        expected = errors if errors else _tfds_errors()
        try:
            yield
        except expected as error:
            # The first line: pages of advice or all data sets' names can follow.
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(problem, value=self._name, hint=f"{hint} ({reason[:200]})") from error


def _check_features(name: str, features: Any) -> None:
    """Raise UserError unless the data set has images and the ten digits as labels."""
    if features is not None and "image" in features and "label" in features:
        names = getattr(features["label"], "names", None)
        if names == _LABELS and len(features["image"].shape or ()) == 3:
            return
        found = f"labels {', '.join(names[:3])}, … ({len(names)})" if names else "no class labels"
    else:
        found = f"features {', '.join(features or ())}"
    raise UserError(
        "the data set has no images with labels 0 to 9",
        value=f"{name} with {found}",
        hint=f"choose one of {_KNOWN}",
    )


def _as_decoded(picture: np.ndarray, *, transposed: bool) -> np.ndarray:
    """Return an image as `digitmill.imaging` decodes it: upright, BGR, gray in two dimensions."""
    if transposed:
        picture = picture.transpose(1, 0, 2)
    if picture.shape[2] == 1:
        return np.ascontiguousarray(picture[:, :, 0])
    blue_first = [2, 1, 0, *range(3, picture.shape[2])]
    return np.ascontiguousarray(picture[:, :, blue_first])


def _tfds_errors() -> tuple[type[Exception], ...]:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    return (
        OSError,  # includes connection errors of requests
        ValueError,
        AssertionError,
        RuntimeError,
        ImportError,
        tf.errors.OpError,
        tfds.download.DownloadError,
        tfds.core.download.download_manager.NonMatchingChecksumError,
    )


@contextlib.contextmanager
def _quiet_loggers(*names: str) -> Iterator[None]:
    """Context that hides warnings of libraries."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _quiet_preparation() -> Iterator[None]:
    """Context that hides TFDS's announcements and, outside a terminal, its progress bars."""
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
