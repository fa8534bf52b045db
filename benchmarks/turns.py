"""A B A B: every contender once in each round, so that a machine's drift meets all of them alike."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_turns(contenders: Iterable[T], rounds: int) -> Iterator[tuple[int, T]]:
    """Yields (round, contender), all contenders in a round before the next begins."""
    those = tuple(contenders)
    for turn in range(rounds):
        for contender in those:
            yield turn, contender
