"""What a shift means, in plain sentences."""

from collections.abc import Sequence
from typing import Final

from digitmill.reports.numbers import fraction, share
from pipelines.report.drift import LARGE, MODERATE, Drift, Shift, Spread, worst

NAMES: Final = {"digits": "predicted digits", "confidences": "confidence", "grey_levels": "ink"}
"""What the measures of `Spread` are called."""

_VERDICTS: Final = {
    Shift.STABLE: "stable",
    Shift.MODERATE: "moderate shift",
    Shift.LARGE: "large shift",
    Shift.UNKNOWN: "cannot be told",
}


def verdict(drift: Drift) -> str:
    """Returns what an index means in a word or two."""
    if drift.index is not None and drift.shift is Shift.UNKNOWN:
        return "too few images to tell"
    return _VERDICTS[drift.shift]


def sentence(drifts: Sequence[Drift], here: Spread, there: Spread, *, whose: str) -> str:
    """Returns what the shifts mean and what to do.

    Args:
        drifts: of all measures.
        here: the run's images.
        there: what they are held against.
        whose: what that is: "the training set".
    """
    shift = worst(drifts)
    known = [drift for drift in drifts if drift.index is not None]
    if shift is Shift.UNKNOWN:
        return f"Whether these images are like those of {whose} cannot be told: there are too few of them."
    largest = max(known, key=lambda drift: drift.index or 0.0)
    if shift is Shift.STABLE:
        return (
            f"These images are like those of {whose}: no index reaches {MODERATE}, "
            f"the largest is {fraction(largest.index, 2)} ({NAMES[largest.measure]})."
        )
    shifted = [drift for drift in known if drift.shift in (Shift.MODERATE, Shift.LARGE)]
    names = " and ".join(f"{NAMES[drift.measure]} ({fraction(drift.index, 2)})" for drift in shifted)
    digits = _of_digits(here, there) if any(drift.measure == "digits" for drift in shifted) else ""
    what = f"{digits} {_ADVICE[shift]}".lstrip()
    bar = f"above {LARGE}" if shift is Shift.LARGE else f"between {MODERATE} and {LARGE}"
    return f"These images differ from those of {whose} in {names}, {bar}. {what}"


_ADVICE: Final = {
    Shift.MODERATE: "Look at the galleries below; if it stays so, label a sample and measure again.",
    Shift.LARGE: "The accuracy on the model's card no longer speaks for them: look at the galleries, "
    "check where the images come from, and label a sample before you trust the answers.",
}


def _of_digits(here: Spread, there: Spread) -> str:
    shares = [
        (mine / sum(here.digits), other / sum(there.digits))
        for mine, other in zip(here.digits, there.digits, strict=True)
    ]
    digit = max(range(len(shares)), key=lambda number: abs(shares[number][0] - shares[number][1]))
    mine, other = shares[digit]
    return f"The digit {digit} makes {share(mine, 1)} of them, and {share(other, 1)} there."
