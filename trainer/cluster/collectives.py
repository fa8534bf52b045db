"""Small exchanges of numbers and bytes between the workers of one job."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import tensorflow as tf

from schemas.errors import ExitCode, JobFailedError
from trainer.cluster.strategy import is_multi_worker, local_replicas

_WORD: Final = 8
"""Collective operations move numbers, not single bytes: bytes travel as int64."""

_MAX_BYTES: Final = 2**24
"""Bytes that a worker sends at once; all workers' bytes are in memory together."""


class Collectives:
    """Exchanges values between workers. Every worker must make the same calls in the same order.

    With one worker, everything returns that worker's own values.

    Args:
        strategy: the job's, with any number of replicas per worker.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self._is_multi_worker = is_multi_worker(strategy)
        self._local_replicas = local_replicas(strategy)

        def all_gather(words: tf.Tensor) -> tf.Tensor:
            return tf.distribute.get_replica_context().all_gather(words[None], axis=0)

        # One graph for all sizes.
        self._gather = tf.function(
            lambda words: strategy.run(all_gather, args=(words,)),
            input_signature=[tf.TensorSpec([None], tf.int64)],
        )

    def all_gather(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the values of every worker, float64[workers, len(values)], in the workers' order."""
        row = np.asarray(values, np.float64)
        return np.stack(self._gather_words(row.view(np.int64))).view(np.float64)

    def broadcast(self, value: float) -> float:
        """Return the chief's value."""
        return float(self.all_gather([value])[0, 0])

    def minimum(self, value: int) -> int:
        """Return the least of the workers' values."""
        return int(self.all_gather([value]).min())

    def digest(self, digest: str) -> str:
        """Return a digest over all workers' hexadecimal digests; with one worker, its own."""
        if not self._is_multi_worker:
            return digest
        found = self.all_gather(list(bytes.fromhex(digest))).astype(np.uint8)
        return hashlib.sha256(found.tobytes()).hexdigest()

    @contextlib.contextmanager
    def chief_finishes(self) -> Iterator[None]:
        """Context manager around work that only the chief does; the others wait for it on exit.

        Raises:
            JobFailedError: in the others, if the chief has failed.
        """
        try:
            yield
        except Exception as error:
            # After a stop signal it says nothing: the process ends, and the others notice.
            with contextlib.suppress(tf.errors.OpError):
                self.broadcast(getattr(error, "code", ExitCode.CRASHED))
            raise
        if code := int(self.broadcast(ExitCode.OK)):
            failure = JobFailedError("the chief could not finish the run; its log says why")
            failure.code = code
            raise failure

    def exchange(self, data: bytes) -> Sequence[bytes]:
        """Return the bytes of every worker, in the workers' order; their lengths may differ."""
        sizes = [int(size[0]) for size in self._gather_words(np.array([len(data)], np.int64))]
        received = [bytearray() for _ in sizes]
        for start in range(0, max(sizes), _MAX_BYTES):
            most = min(_MAX_BYTES, max(sizes) - start)
            words = np.zeros(-(-most // _WORD), np.int64)
            piece = data[start : start + most]
            words.view(np.uint8)[: len(piece)] = np.frombuffer(piece, np.uint8)
            for whole, part in zip(received, self._gather_words(words), strict=True):
                whole.extend(part.tobytes()[:most])
        return [bytes(whole[:size]) for whole, size in zip(received, sizes, strict=True)]

    def _gather_words(self, words: np.ndarray) -> list[np.ndarray]:
        """Return the int64[N] of every worker; N must be the same on all."""
        if not self._is_multi_worker:
            return [words]
        # All replicas of a worker send the same, and each receives everything.
        rows = self._strategy.experimental_local_results(self._gather(words))[0].numpy()
        return list(rows[:: self._local_replicas])
