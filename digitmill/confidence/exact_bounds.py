"""Exact bounds of a rate of errors, after Clopper and Pearson.

C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
binomial", Biometrika 26, 1934. Of a sample without replacement, which an audit is, they are on the safe side.
"""

import math

from scipy.optimize import brentq
from scipy.special import bdtr, betaincinv


def upper_bound(wrong: int, images: int, delta: float) -> float:
    """Return the rate that the true one exceeds with probability `delta` at most; 1 without images."""
    return float(betaincinv(wrong + 1, images - wrong, 1 - delta)) if wrong < images else 1.0


def lower_bound(wrong: int, images: int, delta: float) -> float:
    """Return the rate that the true one falls below with probability `delta` at most; 0 without images."""
    return float(betaincinv(wrong, images - wrong + 1, delta)) if wrong else 0.0


def exact_interval(wrong: int, images: int, delta: float) -> tuple[float, float]:
    """Return the interval that misses the true rate with probability `delta` at most."""
    return lower_bound(wrong, images, delta / 2), upper_bound(wrong, images, delta / 2)


def weighted_interval(rate: float, heaviest: float, delta: float) -> tuple[float, float]:
    """Return the interval that misses a weighted mean of rates with probability `delta` at most.

    Each image of a sample counts by a weight: one of a small sample of a large run by more than one of a
    large sample of a small run. A sum of such terms is no more spread than a Poisson variable that counts in
    steps of the heaviest one, so Chernoff's bound for that one holds (H. Chernoff, "A measure of asymptotic
    efficiency for tests of a hypothesis based on the sum of observations", Annals of Mathematical Statistics
    23, 1952). Where all weights are alike it is up to a fifth wider than `exact_interval`.

    Args:
        rate: sum of the weights of the wrong images.
        heaviest: greatest weight of an image; the weights of all images add up to 1.
        delta: in (0, 1).
    """
    count, exponent = rate / heaviest, math.log(2 / delta)

    def excess(mean: float) -> float:
        ratio = count * math.log(count / mean) if count else 0.0
        return mean - count + ratio - exponent

    highest = count + 2 * exponent + 2 * math.sqrt(count * exponent)
    least = count * 1e-12
    low = brentq(excess, least, count) if count and excess(least) > 0 else 0.0
    return low * heaviest, min(1.0, brentq(excess, count or 1e-12, highest) * heaviest)


def images_needed(wrong: int, rate: float, delta: float) -> int:
    """Return the fewest images with so many wrong ones whose `upper_bound` is `rate` or less.

    Args:
        wrong: number of wrong ones.
        rate: above 0.
        delta: in (0, 1).
    """
    fewest, enough = wrong, max(1, wrong)
    while bdtr(wrong, enough, rate) > delta:
        fewest, enough = enough, 2 * enough
    while enough - fewest > 1:
        middle = (fewest + enough) // 2
        fewest, enough = (middle, enough) if bdtr(wrong, middle, rate) > delta else (fewest, middle)
    return enough
