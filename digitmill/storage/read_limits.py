"""How many connections and requests a worker process may use on an object store, and how long it retries."""

import dataclasses
from typing import Final

CONNECTIONS: Final = 16
"""Connections of a worker process to an object store: a request waits far longer than it works."""

RETRY_SECONDS: Final = 600.0
"""How long a request is retried by default: storms of a store last seconds to minutes."""

CONTACT_SECONDS: Final = 60.0
"""The same for the first request to a bucket: more likely its name, the login or the network is wrong."""


@dataclasses.dataclass(frozen=True)
class ReadLimits:
    """How a worker process may use an object store.

    Attributes:
        connections: kept open to a store. Three quarters as many objects are read at once, because a
            pool opens another connection while one that was used is still on its way back.
        requests_per_second: greatest rate of requests; None for no limit but the ramp.
        processes: how many processes share the rate, ramp included.
        retry_seconds: for how long a request that fails for the store's reasons is retried.
    """

    connections: int = CONNECTIONS
    requests_per_second: float | None = None
    processes: int = 1
    retry_seconds: float = RETRY_SECONDS

    def __post_init__(self) -> None:
        if self.connections < 1:
            raise ValueError(f"at least one connection is needed; got {self.connections}")
        if self.requests_per_second is not None and not self.requests_per_second > 0:
            raise ValueError(f"a rate of requests is positive; got {self.requests_per_second}")

    @property
    def threads(self) -> int:
        """Objects read at once."""
        return max(1, self.connections * 3 // 4)
