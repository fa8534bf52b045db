"""What the workers of one job tell each other beside gradients; one worker agrees with itself."""

import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer.cluster.strategy import is_multi_worker
from trainer.cluster.worker_exchange import gatherer


class Agreement:
    """Exchanges small arrays between workers. Every worker makes the same calls in the same order.

    Args:
        strategy: the job's.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._several = is_multi_worker(strategy)
        self._gathered = gatherer(strategy)

    def gather(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Returns every worker's values, float64[workers, len(values)], in the workers' order."""
        row = np.asarray(values, np.float64)[None]
        if not self._several:
            return row
        # The numbers' bits travel as integers of the same size.
        return np.stack(self._gathered(row[0].view(np.int64))).view(np.float64)

    def of_chief(self, value: float) -> float:
        """Returns the chief's value."""
        return float(self.gather([value])[0, 0])

    def least(self, value: int) -> int:
        """Returns the least of the workers' values."""
        return int(self.gather([value]).min())

    def total(self, values: Sequence[int]) -> tuple[int, ...]:
        """Returns the sums of the workers' values."""
        return tuple(int(value) for value in self.gather(values).sum(axis=0))

    def digest(self, digest: str) -> str:
        """Returns one digest over all workers' hexadecimal ones; one worker's own."""
        if not self._several:
            return digest
        found = self.gather(list(bytes.fromhex(digest))).astype(np.uint8)
        return hashlib.sha256(found.tobytes()).hexdigest()
