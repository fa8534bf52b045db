"""The population stability index of two histograms, and how large chance alone makes it.

The index is the sum over bins of (p - q) ln(p / q), for shares p in one histogram and q in the other. The
fewer images there are, the larger it is without any drift. If all B bins hold many images, it is distributed
as (1/n + 1/m) times a chi-squared variable with B - 1 degrees of freedom; see B. Yurdakul and J. Naranjo,
"Statistical properties of the population stability index", Journal of Risk Model Validation 14(4), 2020. This
does not hold for bins with few images. The effect of chance is therefore simulated with histograms drawn from
the pooled one: a Monte Carlo test (A. C. A. Hope, "A simplified Monte Carlo significance test procedure",
Journal of the Royal Statistical Society B 30(3), 1968).
"""

import functools
from typing import Final

import numpy as np

_MIN_SHARE: Final = 1e-4
"""Minimum share of a bin, because an empty bin would make the index infinite."""

_DRAWS: Final = 1_999
"""Number of simulated pairs of histograms; with the observed pair, two thousand outcomes."""

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
    """Return a bound that the index rarely exceeds if both histograms have the same source.

    The simulation has a fixed seed: equal arguments give equal results.

    Args:
        current: counts or shares, not all zero.
        reference: counts or shares, not all zero.
        sizes: number of images of each.
        level: probability of exceeding the bound, at least 0.0005.
    """
    n, m = sizes
    pooled = (_shares(current) * n + _shares(reference) * m) / (n + m)
    # Not a `Generator`: its stream may change with NumPy's version, and rebuilt reports must be identical.
    draws = np.random.RandomState(0)
    mine, others = (draws.multinomial(size, pooled, _DRAWS) / size for size in sizes)
    return float(np.sort(_indices(mine, others, sizes))[-int(level * (_DRAWS + 1))])


def _shares(counts: Shares) -> np.ndarray:
    values = np.array(counts, np.float64)
    return values / values.sum()


def _indices(mine: np.ndarray, others: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """Return the index, float64[N], of each pair of rows of shares, float64[N, B]."""
    occupied = (mine > 0) | (others > 0)
    p, q = (
        np.maximum(shares, max(_MIN_SHARE, 0.5 / size))
        for shares, size in zip((mine, others), sizes, strict=True)
    )
    return np.where(occupied, (p - q) * np.log(p / q), 0).sum(axis=1)


def group_evenly(reference: Shares, groups: int) -> tuple[int, ...]:
    """Return the group number of each bin, for at most `groups` groups with about equal shares."""
    below = np.cumsum(_shares(reference)) - _shares(reference) / 2
    found = np.minimum((below * groups).astype(int), groups - 1)
    return tuple(np.unique(found, return_inverse=True)[1].tolist())


def add_groups(counts: Shares, groups: tuple[int, ...]) -> Shares:
    """Return the sum of each group, from counts by bin and the group of each bin."""
    return tuple(np.bincount(groups, weights=counts).tolist())
