"""Exact bounds of an error rate, after Clopper and Pearson, and the exact sign test.

C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
binomial", Biometrika 26, 1934. For a sample without replacement, such as an audit, they are conservative.
"""

import math

from scipy.optimize import brentq
from scipy.special import bdtr, betaincinv


def upper_bound(wrong: int, images: int, delta: float) -> float:
    """Return a bound that the true error rate exceeds with probability `delta` at most; 1 without images."""
    return float(betaincinv(wrong + 1, images - wrong, 1 - delta)) if wrong < images else 1.0


def lower_bound(wrong: int, images: int, delta: float) -> float:
    """Return a bound that the true error rate is below with probability `delta` at most; 0 without images."""
    return float(betaincinv(wrong, images - wrong + 1, delta)) if wrong else 0.0


def exact_interval(wrong: int, images: int, delta: float) -> tuple[float, float]:
    """Return an interval that misses the true error rate with probability `delta` at most."""
    return lower_bound(wrong, images, delta / 2), upper_bound(wrong, images, delta / 2)


def weighted_interval(rate: float, heaviest: float, delta: float) -> tuple[float, float]:
    """Return an interval that misses a weighted mean of error rates with probability `delta` at most.

    Each sampled image has a weight: an image from a small sample of a large run weighs more than one from a
    large sample of a small run. The weighted sum has no larger tails than a Poisson variable in steps of the
    heaviest weight, so Chernoff's bound for that variable holds (H. Chernoff, "A measure of asymptotic
    efficiency for tests of a hypothesis based on the sum of observations", Annals of Mathematical Statistics
    23, 1952). With equal weights, the interval is up to a fifth wider than `exact_interval`.

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


def sign_test(first: int, second: int) -> float:
    """Return the two-sided p-value of a count of images on two equally probable sides; 1 without images."""
    decided = first + second
    return min(1.0, 2 * float(bdtr(min(first, second), decided, 0.5))) if decided else 1.0


def images_needed(wrong: int, rate: float, delta: float) -> int:
    """Return the smallest number of images, `wrong` of them wrong, with an `upper_bound` of at most `rate`.

    Args:
        wrong: number of wrong images.
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
