"""Exact bounds of a rate of errors, after Clopper and Pearson.

C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
binomial", Biometrika 26, 1934. Of a sample without replacement, which an audit is, they are on the safe side.
"""

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
