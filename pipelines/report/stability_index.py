"""The population stability index of two histograms, and how large chance alone makes it.

The index is the sum over bins of (p - q) ln(p / q), for shares p in one histogram and q in the other. The
fewer images there are, the larger it is without any drift. Where all of B bins hold many images, it is as
(1/n + 1/m) times a chi-squared variable with B - 1 degrees of freedom; see B. Yurdakul and J. Naranjo,
"Statistical properties of the population stability index", Journal of Risk Model Validation 14(4), 2020. Bins
with few images follow no such law. So what chance does is simulated, by histograms drawn from the pooled
one: a Monte Carlo test (A. C. A. Hope, "A simplified Monte Carlo significance test procedure", Journal of the
Royal Statistical Society B 30(3), 1968).
"""

import functools
from typing import Final

import numpy as np

_MIN_SHARE: Final = 1e-4
"""Least share of a bin: an empty one would make the index infinite."""

_DRAWS: Final = 1_999
"""Pairs of histograms that are drawn: two thousand outcomes with the observed one."""

Shares = tuple[float, ...]


def population_stability_index(current: Shares, reference: Shares, *, sizes: tuple[int, int]) -> float:
    """Return the population stability index of two histograms with the same bins, at least 0.

    Args:
        current: counts or shares, not all zero.
        reference: counts or shares, not all zero.
        sizes: number of images of each. An empty bin counts as half an image.
    """
    mine, others = (np.array([_shares(counts)]) for counts in (current, reference))
    return float(_indices(mine, others, sizes)[0])


@functools.lru_cache(maxsize=256)
def chance_bound(current: Shares, reference: Shares, *, sizes: tuple[int, int], level: float) -> float:
    """Return what the index of two histograms of one and the same source seldom exceeds; always the same.

    Args:
        current: counts or shares, not all zero.
        reference: counts or shares, not all zero.
        sizes: number of images of each.
        level: probability of exceeding it, at least 0.0005.
    """
    n, m = sizes
    pooled = (_shares(current) * n + _shares(reference) * m) / (n + m)
    # A Generator's stream may change with NumPy's version, and reports are made again to the byte.
    draws = np.random.RandomState(0)
    mine, others = (draws.multinomial(size, pooled, _DRAWS) / size for size in sizes)
    return float(np.sort(_indices(mine, others, sizes))[-int(level * (_DRAWS + 1))])


def _shares(counts: Shares) -> np.ndarray:
    values = np.array(counts, np.float64)
    return values / values.sum()


def _indices(mine: np.ndarray, others: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """Return float64[N], the index of each pair of rows of shares, float64[N, B]."""
    occupied = (mine > 0) | (others > 0)
    p, q = (
        np.maximum(shares, max(_MIN_SHARE, 0.5 / size))
        for shares, size in zip((mine, others), sizes, strict=True)
    )
    return np.where(occupied, (p - q) * np.log(p / q), 0).sum(axis=1)


def group_evenly(reference: Shares, groups: int) -> tuple[int, ...]:
    """Return for each bin in order the number of its group, of `groups` or fewer with about equal shares."""
    below = np.cumsum(_shares(reference)) - _shares(reference) / 2
    found = np.minimum((below * groups).astype(int), groups - 1)
    return tuple(np.unique(found, return_inverse=True)[1].tolist())


def add_groups(counts: Shares, groups: tuple[int, ...]) -> Shares:
    """Return the sum of each group, of counts by bin and the groups of the bins."""
    return tuple(np.bincount(groups, weights=counts).tolist())
