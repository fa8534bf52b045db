"""`tfds:NAME`: any ten-class digit set of TensorFlow Datasets."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from typing import Any, Final
from unittest import mock

import numpy as np

from imaging.canonical import canonicalise
from imaging.errors import ImageError
from schemas.digit import CLASSES
from schemas.errors import UserError
from trainer.data import rejects
from trainer.data.splits import Digits, Split, hold_out

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
    """

    def __init__(self, name: str, data_dir: str | None) -> None:
        self._name = f"tfds:{name}"
        self._builder_name = name
        self._data_dir = data_dir

    def read(self, *, validation_fraction: float) -> Digits:
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
            splits = {split: self._split(builder, split) for split in self._split_names(builder)}
        train, validation = splits["train"], splits.get("validation")
        if validation is None:
            train, validation = hold_out(train, validation_fraction)
        return Digits(self._name, train, validation, splits["test"])

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

        if builder.is_prepared():
            return
        print(f"{self._name}: preparing it in {builder.data_dir_root}", flush=True)
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        explained = self._explained(
            "a data set that is not prepared yet is downloaded",
            remedy="connect to the network, or give the --data-dir of a prepared copy",
        )
        with explained, _quiet_preparation(), _few_retries():
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

    def _split(self, builder: Any, name: str) -> Split:
        images, labels, bad, seen = [], [], [], 0
        for pictures, answers in self._chunks(builder, name):
            good = np.ones(len(answers), bool)
            for index, picture in enumerate(pictures):
                try:
                    images.append(canonicalise(_as_decoded(picture, transposed=builder.name in _TRANSPOSED)))
                except ImageError as error:
                    good[index] = False
                    bad.append((f"{name}[{seen + index}]", error))
            labels.append(answers[good])
            seen += len(answers)
        rejects.report(bad, images=seen, source=self._name)
        return Split(np.stack(images), np.concatenate(labels).astype(np.uint8))

    def _chunks(self, builder: Any, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields pictures uint8[N, height, width, channels] and labels int64[N], in a fixed order."""
        import tensorflow_datasets as tfds

        # Pictures of different sizes do not batch.
        size = 1 if None in builder.info.features["image"].shape else _CHUNK
        readable = self._explained(
            "prepared data can be read", remedy="prepare it anew in another --data-dir"
        )
        with readable:
            for chunk in tfds.as_numpy(builder.as_dataset(split=name, shuffle_files=False).batch(size)):
                yield chunk["image"], chunk["label"]

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
    """Returns [height, width, channels] as `imaging` decodes it: upright, blue first, grey in 2-D."""
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


def _few_retries() -> contextlib.AbstractContextManager[int]:
    # TFDS has no setting for it.
    from tensorflow_datasets.core.download import downloader

    return mock.patch.object(downloader, "MAX_RETRIES", _DOWNLOAD_RETRIES)
