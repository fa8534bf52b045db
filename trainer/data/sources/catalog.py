"""`tfds:NAME`: any ten-class digit set of TensorFlow Datasets."""

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
from trainer.data.exchange import Exchange
from trainer.data.reading import Batch, Plan, Reading, Shard, read
from trainer.data.splits import PARTS, Digits, held_out

_KNOWN: Final = "mnist, emnist/digits, emnist/mnist, svhn_cropped, mnist_corrupted/CORRUPTION"
_LABELS: Final = [str(label) for label in range(CLASSES)]

_TRANSPOSED: Final = frozenset({"emnist"})
"""Builders whose pictures are stored with rows and columns exchanged."""

_CHUNK: Final = 1_024

_DOWNLOAD_RETRIES: Final = 3
"""TFDS's own ten, each wait twice the one before, take 3.4 minutes to say that there is no network."""


class CatalogSource:
    """A data set of TensorFlow Datasets, with its own splits.

    Args:
        name: as `tfds.load` takes it: NAME, NAME/CONFIG or NAME:VERSION.
        data_dir: where prepared data is kept, local or gs://; TFDS's own default when None.
        reading: how it is read.
    """

    def __init__(self, name: str, data_dir: str | None, reading: Reading | None = None) -> None:
        self._name = f"tfds:{name}"
        self._builder_name = name
        self._data_dir = data_dir
        self._reading = reading or Reading()

    def read(
        self, *, validation_fraction: float, shard: Shard = (0, 1), exchange: Exchange | None = None
    ) -> Digits:
        """Downloads and prepares the data set where that was not done yet, and returns its digits.

        TensorFlow's devices start with it: the strategy must have been made before.
        """
        with _quiet_loggers("absl", "urllib3"):
            builder = self._builder()
            # First before anything is downloaded.
            _check_features(self._name, builder.info.features)
            self._prepare(builder)
            # Once more: some builders learn the names of their classes from what they download.
            _check_features(self._name, builder.info.features)
            sizes = {name: builder.info.splits[name].num_examples for name in self._split_names(builder)}
            plan = Plan(
                self._name,
                sum(sizes.values()),
                made_from=None,  # prepared data is a cache already
                batches=lambda shard: self._batches(
                    builder, sizes, fraction=validation_fraction, shard=shard
                ),
            )
            return read(plan, reading=self._reading, shard=shard, exchange=exchange)

    def _builder(self) -> Any:
        import tensorflow_datasets as tfds

        readable = self._explained(
            "the --data-dir of prepared data can be read", remedy="check the place and your right to read it"
        )
        known = self._explained(
            "tfds:NAME names what TensorFlow Datasets knows",
            remedy=f"digit sets are {_KNOWN}",
            # No such data set, configuration, version or name space.
            errors=(ValueError, AssertionError, ImportError),
        )
        with readable, known:
            return tfds.builder(self._builder_name, data_dir=self._data_dir)

    def _prepare(self, builder: Any) -> None:
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.download import downloader

        if builder.is_prepared():
            return
        print(f"{self._name}: preparing it in {builder.data_dir_root}", flush=True)
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        downloader.MAX_RETRIES = _DOWNLOAD_RETRIES  # TFDS has no setting for it
        explained = self._explained(
            "a data set that is not prepared yet is downloaded",
            remedy="connect to the network, or give the --data-dir of a prepared copy",
        )
        with explained, _quiet_preparation():
            builder.download_and_prepare(download_config=config)

    def _split_names(self, builder: Any) -> list[str]:
        names = [name for name in ("train", "validation", "test") if name in builder.info.splits]
        if "train" in names and "test" in names:
            return names
        raise UserError(
            "a digit set has the splits train and test",
            got=f"{self._name} with {', '.join(builder.info.splits)}",
            remedy=f"choose one of {_KNOWN}",
        )

    def _batches(
        self, builder: Any, sizes: Mapping[str, int], *, fraction: float, shard: Shard
    ) -> Iterator[Batch]:
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
        self, builder: Any, batches: Iterator[Batch], *, fraction: float, shard: Shard
    ) -> Iterator[Batch]:
        """Yields training images with the part of each, which only all labels together tell."""
        if shard[1] == 1:
            # Reading twice takes longer than keeping what was decoded.
            known = list(batches)
            batches = iter(known)
            labels = np.concatenate([batch.labels for batch in known])
        else:
            records = self._records(builder, "train", batch=_CHUNK, decode=False)
            labels = np.concatenate([record["label"] for record in records])
        parts = held_out(labels, fraction).astype(np.uint8)  # 0 is training, 1 is validation
        for batch in batches:
            yield batch._replace(parts=parts[batch.positions])

    def _decoded(self, builder: Any, name: str, *, start: int, shard: Shard) -> Iterator[Batch]:
        """Yields a split's images that are a worker's, in a fixed order; the first has position `start`."""
        # Pictures of different sizes do not batch.
        size = 1 if None in builder.info.features["image"].shape else _CHUNK
        # The first that is a worker's of all splits' images, counted through.
        first = (shard[0] - start) % shard[1]
        done = 0
        for chunk in self._records(builder, name, batch=size, only=(first, shard[1])):
            numbers = first + shard[1] * np.arange(done, done + len(chunk["label"]))
            done += len(numbers)
            pictures = [
                _as_decoded(picture, transposed=builder.name in _TRANSPOSED) for picture in chunk["image"]
            ]
            names = [f"{name}[{number}]" for number in numbers]
            yield Batch(start + numbers, names, chunk["label"], canonical_batch(pictures))

    def _records(
        self, builder: Any, name: str, *, batch: int, only: Shard = (0, 1), decode: bool = True
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields pictures uint8[N, height, width, channels] and labels int64[N]; else labels alone."""
        import tensorflow as tf
        import tensorflow_datasets as tfds

        image = builder.info.features["image"]
        readable = self._explained(
            "prepared data can be read", remedy="prepare it anew in another --data-dir"
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
    def _explained(
        self, rule: str, *, remedy: str, errors: tuple[type[Exception], ...] = ()
    ) -> Iterator[None]:
        """Turns what TFDS raises, which is much and of many kinds, into one line."""
        expected = errors if errors else _tfds_errors()
        try:
            yield
        except expected as error:
            # The first line says it; pages of advice or all data sets' names follow.
            said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(rule, got=self._name, remedy=f"{remedy} ({said[:200]})") from error


def _check_features(name: str, features: Any) -> None:
    """Raises UserError unless there are images, and labels that are the ten digits."""
    if features is not None and "image" in features and "label" in features:
        names = getattr(features["label"], "names", None)
        if names == _LABELS and len(features["image"].shape or ()) == 3:
            return
        found = f"labels {', '.join(names[:3])}, … ({len(names)})" if names else "no class labels"
    else:
        found = f"features {', '.join(features or ())}"
    raise UserError(
        "a digit set has the features image and label, with the ten labels 0 to 9",
        got=f"{name} with {found}",
        remedy=f"choose one of {_KNOWN}",
    )


def _as_decoded(picture: np.ndarray, *, transposed: bool) -> np.ndarray:
    """Returns [height, width, channels] as imaging decodes it: upright, blue first, grey in 2-D."""
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
        OSError,  # requests' connection errors among them
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
    """Keeps warnings of libraries that say what is said anyway off the output."""
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
    """Keeps TFDS's announcements off the output, and its progress bars to terminals."""
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
