"""Picks the fastest engine on this machine by timing the golden batch.

As a program it reads a pickled bundle from standard input, and prints the kind of its fastest engine. The
process that started it is spared the memory of engines that it does not use, 60 MB with OpenVINO.
"""

import dataclasses
import math
import pickle
import sys
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from digitmill.engines.bundle_loader import Bundle, loaded
from digitmill.engines.engine import BATCH, Engine
from digitmill.engines.engine_choice import CPU_KINDS, EngineChoice, EngineKind, alternatives
from schemas.errors import UserError

FASTEST: Final = "the fastest of those installed, when the run began"
"""Reason for an engine that is not the bundle's default; the same in every start of a run."""

_ROUNDS: Final = 3
"""The shortest of so many batches counts, in processor time: others use the machine too."""

_SLOW: Final = 2
"""An engine that took this many times as long as the fastest one is not timed again."""

_WORTH_SECONDS: Final = 4.0
"""Processor time that the default engine needs for all images, from which on engines are compared.

Comparing takes half a second, and so does the start of OpenVINO in each worker process, on two cores."""

_MARGIN: Final = 0.85
"""An engine takes at most this share of the default's time to be preferred: noise must not choose."""


def fastest(opened: Bundle, *, clock: Callable[[], float] = time.process_time) -> Bundle:
    """Return a bundle with the engine that scores its golden batch fastest; takes about half a second.

    Ignores engines that cannot run here or predict the golden batch wrongly. GPU engines are not compared.

    Args:
        opened: the bundle, with its default engine.
        clock: returns the processor time in seconds.
    """
    if opened.engine.kind not in CPU_KINDS:
        return opened
    engine, batch = _loaded(opened)
    engines = {opened.engine.kind: engine}
    for kind in alternatives(opened.engine, opened.card):
        try:
            engines[kind], _ = loaded(with_engine(opened, kind))
        except UserError:
            continue
    took = _microseconds(engines, batch, clock)
    best = min(took, key=lambda kind: took[kind] / (1 if kind is opened.engine.kind else _MARGIN))
    return opened if best is opened.engine.kind else with_engine(opened, best)


def is_worth_comparing(
    opened: Bundle, *, images: int | None = None, clock: Callable[[], float] = time.process_time
) -> bool:
    """Whether the fastest engine may save more time than comparing takes.

    Args:
        opened: the bundle, with its default engine.
        images: number of images to score; None for many.
        clock: returns the processor time in seconds.
    """
    if opened.engine.kind not in CPU_KINDS:
        return False
    return images is None or _seconds(*_loaded(opened), clock) * images / BATCH >= _WORTH_SECONDS


def _loaded(opened: Bundle) -> tuple[Engine, np.ndarray]:
    """Return a bundle's engine and a batch of its golden digits."""
    engine, digits = loaded(opened)
    return engine, np.resize(digits, (BATCH, *digits.shape[1:]))


def with_engine(opened: Bundle, kind: EngineKind) -> Bundle:
    """Return the bundle with the engine that was found fastest."""
    return dataclasses.replace(opened, engine=EngineChoice(kind, FASTEST))


def _seconds(engine: Engine, digits: np.ndarray, clock: Callable[[], float]) -> float:
    began = clock()
    engine.probabilities(digits)
    return clock() - began


def _microseconds(
    engines: dict[EngineKind, Engine], digits: np.ndarray, clock: Callable[[], float]
) -> dict[EngineKind, float]:
    """Return the time that each engine takes for an image, measured in turn."""
    rounds: dict[EngineKind, list[float]] = {kind: [] for kind in engines}
    for _ in range(_ROUNDS):
        shortest = min((min(times) for times in rounds.values() if times), default=math.inf)
        for kind, engine in engines.items():
            if rounds[kind] and min(rounds[kind]) > _SLOW * shortest:
                continue
            rounds[kind].append(_seconds(engine, digits, clock))
    return {kind: min(times) / len(digits) * 1e6 for kind, times in rounds.items()}


if __name__ == "__main__":
    # The bundle comes from the process that started this one, and from nobody else.
    print(fastest(pickle.load(sys.stdin.buffer)).engine.kind)
