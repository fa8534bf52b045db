"""A lease that allows only one launcher at a time per output in a bucket.

Buckets have no locks, but an object can be written under the condition that nobody else has written it in
the meantime. The lease is such an object. Its holder rewrites it every few seconds; a launcher that sees no
renewal for `LEASE_SECONDS` takes it over. It watches the object's version instead of trusting another
machine's clock. A released lease, or one whose holder has died on this machine, is taken over at once.
"""

import contextlib
import itertools
import json
import os
import pathlib
import secrets
import socket
import sys
import threading
import time
from typing import Final

from digitmill.storage.interface import held_error
from digitmill.storage.object_stores.bucket import ABSENT, Bucket, StoreError
from schemas.errors import StorageError, UserError
from schemas.versioned import parse_json

LEASE_SECONDS: Final = 30.0
"""A lease that is not renewed for so long is free."""

RENEW_SECONDS: Final = 8.0
"""Seconds between two renewals by the holder."""

POLL_SECONDS: Final = 2.0
"""Seconds between two looks at another holder's lease."""

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that runs on while the machine sleeps."""

_BOOT: Final = pathlib.Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """A lease on one object; error messages name `place`."""

    def __init__(self, bucket: Bucket, name: str, place: str) -> None:
        self._bucket = bucket
        self._name = name
        self._place = place
        self._version = ABSENT
        self._token = secrets.token_hex(8)
        self._writes = itertools.count()
        self._lost = False
        self._renewed = 0.0
        self._renewing = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def take(self) -> None:
        """Take the lease; if another launcher holds it, watch for renewals first.

        Raises:
            UserError: when the holder is alive, or the store ignores write conditions.
            StoreError: when the bucket cannot be read and written.
        """
        if self._write(ABSENT):
            self._check_conditions()
        elif not self._is_ours():
            self._take_over()
        self._thread.start()

    def give_back(self) -> None:
        """End the lease."""
        self._stop.set()
        self._thread.join()
        # Where that fails it runs out by itself; what ended the run matters more.
        with contextlib.suppress(StoreError, StorageError):
            self._bucket.release(self._name, self._version)

    def confirm(self) -> None:
        """Raise StorageError when another launcher has taken over, for example after a long sleep."""
        with self._renewing:
            if not self._lost and time.clock_gettime(_CLOCK) - self._renewed > LEASE_SECONDS:
                self._renew_now()
        if self._lost:
            raise StorageError(
                "this launcher no longer holds its output",
                value=self._place,
                hint="another launcher took it over and continues the run",
            )

    def _renew_now(self) -> None:
        try:
            self._renew_once(patient=True)
        except StoreError as error:
            raise StorageError(
                "cannot renew the lease on the output", value=self._place, hint=error.hint
            ) from error

    def _check_conditions(self) -> None:
        """Refuse a store that ignores the conditions of writes: it would let any launcher in."""
        if self._write(ABSENT):
            self._bucket.delete(self._name)
            raise UserError(
                "the store ignores If-None-Match, so it cannot keep two launchers apart",
                value=self._place,
                hint="write to a store with conditional writes, or to a local folder",
            )

    def _take_over(self) -> None:
        seen = self._seen()
        if seen is not None and seen[1] and not _is_dead(seen[1]):
            print(f"{self._place} is held by {_described(seen[1])}: watching it", file=sys.stderr, flush=True)
            seen = self._watch(seen)
        if not self._write(seen[0] if seen else ABSENT) and not self._is_ours():
            raise held_error(self._place)

    def _watch(self, seen: tuple[str, dict]) -> tuple[str, dict] | None:
        """Return what is left of a lease that was released or not renewed."""
        until = time.monotonic() + LEASE_SECONDS
        while time.monotonic() < until:
            time.sleep(POLL_SECONDS)
            now = self._seen()
            if now is None or not now[1]:
                return now
            if now[0] != seen[0]:
                raise held_error(self._place, _described(now[1]))
        return seen

    def _seen(self, *, patient: bool = True) -> tuple[str, dict] | None:
        found = self._bucket.read_version(self._name, patient=patient)
        if found is None:
            return None
        try:
            return found[0], dict(parse_json(found[1]))
        except (TypeError, ValueError):
            return found[0], {"host": "a damaged lease"}  # somebody's, until it is not renewed

    def _write(self, expected: str, *, patient: bool = True) -> bool:
        """Write the lease in place of a version. Returns whether that was still there."""
        # Numbered: on S3 the same content has the same version, and a renewal could not be seen.
        content = _this_process() | {"token": self._token, "write": next(self._writes)}
        data, begun = json.dumps(content).encode(), time.clock_gettime(_CLOCK)
        version = self._bucket.write(self._name, data, expected=expected, patient=patient)
        if version is None:
            return False
        self._version, self._renewed = version, begun
        return True

    def _is_ours(self, *, patient: bool = True) -> bool:
        """Whether the lease that is there is one that we wrote: the answer to a write may have been lost."""
        seen = self._seen(patient=patient)
        if seen is None or seen[1].get("token") != self._token:
            return False
        self._version = seen[0]
        return True

    def _renew(self) -> None:
        while not self._lost and not self._stop.wait(RENEW_SECONDS):
            # Where the store is out of reach, it is for other launchers as well. An interruption is not meant
            # for this thread.
            with contextlib.suppress(StoreError, StorageError), self._renewing:
                self._renew_once(patient=False)

    def _renew_once(self, *, patient: bool) -> None:
        held = self._write(self._version, patient=patient) or self._is_ours(patient=patient)
        self._lost = not held


def _this_process() -> dict:
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "begun": _begun(os.getpid()),
        "boot": _boot(),
        "processes": _process_namespace(),
    }


def _boot() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else ""


def _process_namespace() -> str:
    """Return this process's PID namespace: containers on one machine may share its host name."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _begun(process: int) -> str:
    """Return a process's start time, in clock ticks since boot; empty if it is not running."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    # The name in parentheses may hold anything.
    return text.rpartition(")")[2].split()[19]


def _is_dead(holder: dict) -> bool:
    """Whether a holder ran on this machine and has ended."""
    own = _this_process()
    here = all(own[name] and own[name] == holder.get(name) for name in ("host", "boot", "processes"))
    return here and _begun(holder["process"]) != holder["begun"]


def _described(holder: dict) -> str:
    return f"process {holder.get('process')} on {holder.get('host')}"
