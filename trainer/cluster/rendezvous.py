"""Lets the workers of a job find each other, and compare what they train, before TensorFlow connects them.

TensorFlow waits for workers in native code that holds the GIL, so it handles no signals. Workers that differ
in GPUs, batch or recipe hang there, or fail with errors that name no cause. So this module waits in Python.
Each worker sends its facts to the chief, on the chief's port of `TF_CONFIG`, which TensorFlow takes over once
all workers have arrived and agree.
"""

import contextlib
import json
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from schemas.errors import UserError
from schemas.versioned import parse_json
from trainer.cluster.tf_config import Cluster

Facts = Mapping[str, Any]
"""What a worker is about to do, by name, the most fundamental first; JSON types."""

_POLL_SECONDS: Final = 0.5
_CONNECT_SECONDS: Final = 5.0
_NOTICE_SECONDS: Final = 10.0
"""Wait after which the workers that are missing are named; from then on once a minute."""

_NOTICE_INTERVAL: Final = 60.0
_ALIVE: Final = b"{}\n"
"""What the chief asks and a worker answers before all set off."""

_MAX_BYTES: Final = 1_000_000
"""A longer message is none of ours."""


def meet(cluster: Cluster, facts: Facts, *, is_over: Callable[[], bool]) -> bool:
    """Wait until all workers have arrived; return False if the run is over instead.

    Args:
        cluster: the workers and this one's index.
        facts: this worker's facts.
        is_over: returns whether the run was finished without this worker; called about twice a second.

    Raises:
        UserError: if workers differ in a fact, or the chief's port can't be used.
    """
    # As the others' arrive.
    facts = json.loads(json.dumps({"the number of workers": cluster.workers, **facts}))
    if cluster.index == 0:
        return _receive(cluster, facts, is_over)
    return _report(cluster, facts, is_over)


def difference(facts: Sequence[Facts]) -> UserError | None:
    """Return the error for the first fact in which a worker differs from the chief; None if all agree.

    Args:
        facts: the facts of each worker, the chief's first.
    """
    chief = facts[0]
    for name in [*chief, *(name for other in facts for name in other if name not in chief)]:
        for worker, other in enumerate(facts):
            if other.get(name) != chief.get(name):
                return UserError(
                    f"the workers differ in {name}: worker {worker} has {other.get(name)!r}, the chief has",
                    value=chief.get(name),
                    hint="start all workers with the same command, software, data and kind of machine",
                )
    return None


def _workers(numbers: Sequence[int]) -> str:
    return f"worker{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


class _Notice:
    """Says once in a while who is missing."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _NOTICE_SECONDS

    def poll(self, text: str) -> None:
        if time.monotonic() >= self._next:
            print(text, file=sys.stderr, flush=True)
            self._next = time.monotonic() + _NOTICE_INTERVAL


class _Visitor:
    """A connection to the chief, of which nothing is known before its first line."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.worker: int | None = None
        self.facts: Facts = {}
        self._received = b""

    def read(self, workers: int) -> bool:
        """Receive messages; return False for a peer that is gone or is not a worker."""
        try:
            data = self.connection.recv(65_536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._received += data
        if not data or self.worker is not None or len(self._received) > _MAX_BYTES:
            return False
        return not self._received.endswith(b"\n") or self._introduce(workers)

    def _introduce(self, workers: int) -> bool:
        message = _parse(self._received)
        worker, facts = message.get("worker"), message.get("facts")
        if not isinstance(worker, int) or not 0 < worker < workers or not isinstance(facts, dict):
            return False
        self.worker, self.facts = worker, facts
        return True

    def is_alive(self) -> bool:
        """Ask the worker whether it still runs: a machine that vanishes does not close its connection."""
        try:
            self.connection.settimeout(_CONNECT_SECONDS)
            self.connection.sendall(_ALIVE)
            return self.connection.recv(len(_ALIVE)) == _ALIVE
        except OSError:
            return False
        finally:
            self.connection.setblocking(False)

    def answer(self, message: Mapping[str, Any]) -> None:
        """Send the answer to a worker that has just been alive."""
        with contextlib.suppress(OSError):
            self.connection.settimeout(_CONNECT_SECONDS)
            self.connection.sendall(_encode(message))


def _receive(cluster: Cluster, facts: Facts, is_over: Callable[[], bool]) -> bool:
    """Wait as the chief, for all others at once, and answer them together."""
    with _Reception(cluster) as reception:
        notice = _Notice()
        while missing := reception.missing():
            notice.poll(f"waiting for {_workers(missing)} of {cluster.workers}")
            if is_over():
                return False
            reception.serve()
        found = difference([facts, *reception.facts()])
        reception.answer({"go": True} if found is None else _as_data(found))
    if found is not None:
        raise found
    return True


class _Reception:
    """The chief's port and those who have come to it; a context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._server = _listen(cluster.addresses[0])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._visitors: list[_Visitor] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for visitor in self._visitors:
            visitor.connection.close()
        self._selector.close()
        self._server.close()

    def missing(self) -> list[int]:
        """Return the workers that are not here, or no longer."""
        if not (missing := self._absent()):
            for visitor in self._here().values():
                if not visitor.is_alive():
                    self._drop(visitor)
            missing = self._absent()
        return missing

    def serve(self) -> None:
        """Accept connections and receive messages; drop peers that are gone or connected again."""
        for key, _ in self._selector.select(_POLL_SECONDS):
            if key.fileobj is self._server:
                connection, _ = self._server.accept()
                self._visitors.append(_Visitor(connection))
                self._selector.register(connection, selectors.EVENT_READ, self._visitors[-1])
                continue
            visitor: _Visitor = key.data
            if visitor not in self._visitors:
                continue  # dropped a moment ago
            before = self._here()
            if not visitor.read(self._cluster.workers):
                self._drop(visitor)
            elif visitor.worker in before:
                self._drop(before[visitor.worker])

    def facts(self) -> list[Facts]:
        """Return the facts of the others, in order."""
        here = self._here()
        return [here[index].facts for index in sorted(here)]

    def answer(self, message: Mapping[str, Any]) -> None:
        """Answer all."""
        for visitor in self._here().values():
            visitor.answer(message)

    def _absent(self) -> list[int]:
        return sorted(set(range(1, self._cluster.workers)) - self._here().keys())

    def _here(self) -> dict[int, _Visitor]:
        return {visitor.worker: visitor for visitor in self._visitors if visitor.worker is not None}

    def _drop(self, visitor: _Visitor) -> None:
        self._selector.unregister(visitor.connection)
        visitor.connection.close()
        self._visitors.remove(visitor)


def _listen(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            "cannot listen on the chief's port of TF_CONFIG",
            value=address,
            hint=f"stop the process that uses it, or choose another port: {error.strerror}",
        ) from error


def _report(cluster: Cluster, facts: Facts, is_over: Callable[[], bool]) -> bool:
    """Wait for the chief and its answer as another worker."""
    host, _, port = cluster.addresses[0].rpartition(":")
    notice = _Notice()
    while True:
        for message in _ask(host.strip("[]"), int(port), {"worker": cluster.index, "facts": facts}):
            if message.get("go"):
                return True
            if "error" in message:
                raise UserError(
                    str(message["error"]), value=message.get("value"), hint=str(message.get("hint"))
                )
            reason = f": {message['unreachable']}" if "unreachable" in message else ""
            notice.poll(f"waiting for the other workers at {cluster.addresses[0]}, the chief{reason}")
            if is_over():
                return False
        time.sleep(_POLL_SECONDS)


def _ask(host: str, port: int, message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Send a message, and yield the answer, or nothing, every half second until there is one.

    Ends when the connection does, or with the reason why there is none: the chief isn't there yet, can't be
    reached, or is one whose training still runs.
    """
    received = b""
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS) as connection:
            connection.sendall(_encode(message))
            connection.settimeout(_POLL_SECONDS)
            while not received.endswith(b"\n") and len(received) < _MAX_BYTES:
                try:
                    data = connection.recv(65_536)
                except TimeoutError:
                    yield {}
                    continue
                if not data:
                    break
                received += data
                if received == _ALIVE:
                    connection.sendall(_ALIVE)
                    received = b""
    except OSError as error:
        yield {"unreachable": error.strerror or str(error)}
        return
    yield _parse(received)


def _encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _parse(received: bytes) -> Mapping[str, Any]:
    try:
        return dict(parse_json(received))
    except (TypeError, ValueError):
        return {}


def _as_data(error: UserError) -> Mapping[str, Any]:
    return {"error": error.error, "value": error.value, "hint": error.hint}
