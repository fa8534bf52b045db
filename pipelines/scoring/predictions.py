"""Runs an engine on many digits; a digit that cannot be scored fails alone, not with its batch."""

import dataclasses
from typing import Final

import numpy as np

from digitmill.engines.engine import Engine, EngineError
from schemas.digit import CLASSES, SIDE

_MAX_ALL_FAILED: Final = 16
"""If more digits than this all fail, the engine is broken."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for N digits.

    Attributes:
        probabilities: float32[N, 10]; zeros for digits with an error.
        errors: the engine's error for each digit that it could not score, by index.
    """

    probabilities: np.ndarray
    errors: dict[int, str]


def predict(engine: Engine, digits: np.ndarray) -> Predictions:
    """Return predictions for uint8[N, 28, 28]. Bisection finds the digits that make a batch fail.

    Raises:
        EngineError: when the engine itself is broken: it can score none of many digits, or neither a few
            digits nor a blank one.
    """
    probabilities = np.zeros((len(digits), CLASSES), np.float32)
    errors = _fill(probabilities, engine=engine, digits=digits)
    for index in np.flatnonzero(~np.isfinite(probabilities).all(axis=1)).tolist():
        errors[index] = "the probabilities are not finite"
        probabilities[index] = 0
    if (
        errors
        and len(errors) == len(digits)
        and (len(digits) > _MAX_ALL_FAILED or not _can_score_blank(engine))
    ):
        first = " ".join(errors[0].split())
        raise EngineError(f"the model cannot score any of {len(digits)} images; the first one: {first}")
    return Predictions(probabilities, dict(sorted(errors.items())))


def _fill(probabilities: np.ndarray, *, engine: Engine, digits: np.ndarray) -> dict[int, str]:
    """Write predictions into `probabilities` and return the errors."""
    errors: dict[int, str] = {}
    pending = [(0, len(digits))] if len(digits) else []
    while pending:
        start, stop = pending.pop()
        try:
            probabilities[start:stop] = engine.probabilities(digits[start:stop])
        except EngineError as error:
            if stop - start == 1:
                errors[start] = str(error)
                continue
            middle = (start + stop) // 2
            pending += [(middle, stop), (start, middle)]
    return errors


def _can_score_blank(engine: Engine) -> bool:
    try:
        probabilities = engine.probabilities(np.zeros((1, SIDE, SIDE), np.uint8))
    except EngineError:
        return False
    return bool(np.isfinite(probabilities).all())
