"""The training set's histograms, which a later run's images are compared with."""

import numpy as np

from schemas.model.model_card import HISTOGRAM_BINS
from trainer.metrics.measures import Evaluation

_GREY_LEVELS = 256
_CHUNK = 4_096


def confidence_histogram(evaluation: Evaluation) -> tuple[float, ...]:
    """Returns the share of images per confidence bin, `HISTOGRAM_BINS` of equal width over [0, 1]."""
    counts, _ = np.histogram(evaluation.confidence, bins=HISTOGRAM_BINS, range=(0, 1))
    return tuple((counts / len(evaluation.labels)).tolist())


def pixel_histogram(images: np.ndarray) -> tuple[float, ...]:
    """Returns the share of pixels per grey level bin, `HISTOGRAM_BINS` of equal width over [0, 255].

    Args:
        images: uint8[N, 28, 28], N at least 1.
    """
    levels = np.zeros(_GREY_LEVELS, np.int64)
    # Counting takes eight bytes a pixel for a while.
    for start in range(0, len(images), _CHUNK):
        levels += np.bincount(images[start : start + _CHUNK].ravel(), minlength=_GREY_LEVELS)
    counts, _ = np.histogram(
        np.arange(_GREY_LEVELS), bins=HISTOGRAM_BINS, range=(0, _GREY_LEVELS - 1), weights=levels
    )
    return tuple((counts / images.size).tolist())
