"""How many steps run in the graph before Python looks again: at the loss, at signals, at the time."""

from typing import Final

_SECONDS: Final = 2.0
"""Longest stretch aimed at: a cluster gives a machine 30 s between its signal and its end."""

_PARTS: Final = 10
"""Least number of stretches in an epoch."""

_FIRST: Final = 20


class Pace:
    """Lengthens stretches as they prove fast. Where a stretch ends changes no result.

    Args:
        steps: of an epoch.
    """

    def __init__(self, steps: int) -> None:
        self._most = max(1, -(-steps // _PARTS))
        self.stretch = min(self._most, _FIRST)

    def took(self, seconds: float) -> None:
        """Learns how long a whole stretch took, the same on every worker, and sets the next one's length."""
        if seconds < _SECONDS / 2:
            self.stretch = min(self._most, self.stretch * 2)
        elif seconds > _SECONDS:
            self.stretch = max(1, self.stretch // 2)
