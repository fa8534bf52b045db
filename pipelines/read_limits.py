"""How hard a worker process may lean on an object store."""

import dataclasses
from typing import Final

OBJECT_THREADS: Final = 16
"""Objects read at once by a worker process: a request waits far longer than it works."""


@dataclasses.dataclass(frozen=True)
class ReadLimits:
    """How hard a worker process may lean on an object store.

    Attributes:
        threads: objects read at once.
        requests_per_second: greatest rate of requests; None for no limit but the ramp.
    """

    threads: int = OBJECT_THREADS
    requests_per_second: float | None = None

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"at least one thread reads; got {self.threads}")
        if self.requests_per_second is not None and not self.requests_per_second > 0:
            raise ValueError(f"a rate of requests is positive; got {self.requests_per_second}")
