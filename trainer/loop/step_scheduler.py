"""Decides how many steps run in the graph before Python checks the loss, signals and the time."""

from typing import Final

_MAX_SECONDS: Final = 2.0
"""Target for the longest chunk: clusters grant about 30 s between SIGTERM and SIGKILL."""

_MIN_CHUNKS: Final = 10
"""Least number of chunks per epoch."""

_INITIAL_STEPS: Final = 20


class StepScheduler:
    """Adapts the number of steps per chunk to their speed. Chunk boundaries don't affect the results.

    Attributes:
        num_steps: steps of the next chunk.
    """

    def __init__(self, steps_per_epoch: int) -> None:
        self._max_steps = max(1, -(-steps_per_epoch // _MIN_CHUNKS))
        self.num_steps = min(self._max_steps, _INITIAL_STEPS)

    def record(self, seconds: float) -> None:
        """Adapts to the duration of the last chunk, which must be the same number on every worker."""
        if seconds < _MAX_SECONDS / 2:
            self.num_steps = min(self._max_steps, self.num_steps * 2)
        elif seconds > _MAX_SECONDS:
            self.num_steps = max(1, self.num_steps // 2)
