"""Pixels of the few rows that a report shows; memory does not grow with the rows that are scored."""

import numpy as np

from schemas.digit import SIDE


class KeptPixels:
    """Keeps the pixels of the rows of least rank, of equals the ones that came first.

    Args:
        most: how many rows.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._ranks = np.zeros(0, np.float64)
        self.rows = np.zeros(0, np.int64)
        self.digits = np.zeros((0, SIDE, SIDE), np.uint8)

    @property
    def worst(self) -> float:
        """Rank that a row must stay below to be kept."""
        return float(self._ranks[-1]) if len(self._ranks) == self._most else np.inf

    def add(self, rows: np.ndarray, digits: np.ndarray, *, ranks: np.ndarray) -> None:
        """Offers rows that follow all that were offered before.

        Args:
            rows: int64[N].
            digits: uint8[N, 28, 28].
            ranks: float32[N] or float64[N].
        """
        # First among themselves, so that a chunk's pixels are not copied for the sake of a few.
        few = np.argsort(ranks, kind="stable")[: self._most]
        all_ranks = np.concatenate([self._ranks, ranks[few]])
        least = np.argsort(all_ranks, kind="stable")[: self._most]
        self._ranks = all_ranks[least]
        self.rows = np.concatenate([self.rows, rows[few]])[least]
        self.digits = np.concatenate([self.digits, digits[few]])[least]
