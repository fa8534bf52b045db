"""Asks an engine about many digits, so that what it cannot score is one image's own misfortune."""

import dataclasses
from typing import Final

import numpy as np

from digitmill.engines.engine import Engine, EngineError
from schemas.digit import CLASSES, SIDE

_FEW: Final = 16
"""So few digits may all be beyond a sound engine."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """What an engine said about N digits.

    Attributes:
        probabilities: float32[N, 10]; zeros where there is an error.
        errors: what the engine said of a digit that it could not score, by the digit's index.
    """

    probabilities: np.ndarray
    errors: dict[int, str]


def ask(engine: Engine, digits: np.ndarray) -> Answers:
    """Returns an engine's answers; what makes a batch fail is found by halving it.

    Args:
        engine: a loaded model.
        digits: uint8[N, 28, 28], any N.

    Raises:
        EngineError: when it scores nothing, so that the engine itself is broken: no digit of many, or
            of a few, and not a blank one either.
    """
    probabilities = np.zeros((len(digits), CLASSES), np.float32)
    errors = _fill(probabilities, engine=engine, digits=digits)
    for index in np.flatnonzero(~np.isfinite(probabilities).all(axis=1)).tolist():
        errors[index] = "the probabilities are not finite"
        probabilities[index] = 0
    if errors and len(errors) == len(digits) and (len(digits) > _FEW or not _scores_a_blank(engine)):
        said = " ".join(errors[0].split())
        raise EngineError(f"a model scores images; it scored none of {len(digits)}; of the first: {said}")
    return Answers(probabilities, dict(sorted(errors.items())))


def _fill(probabilities: np.ndarray, *, engine: Engine, digits: np.ndarray) -> dict[int, str]:
    """Writes the answers into `probabilities` and returns the errors."""
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


def _scores_a_blank(engine: Engine) -> bool:
    try:
        answer = engine.probabilities(np.zeros((1, SIDE, SIDE), np.uint8))
    except EngineError:
        return False
    return bool(np.isfinite(answer).all())
