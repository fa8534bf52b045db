"""Keeps launchers of one output in a bucket apart: a lease, which its holder renews while it lives.

Buckets have no locks, but an object can be written under the condition that nobody has written it
since. The lease is such an object. Its holder writes it again every few seconds; whoever finds one
that is not renewed for `LEASE_SECONDS` takes it over. No clock of another machine is trusted: what is
watched is the object's generation. A holder that was found dead on this very machine needs no watching.
"""

import contextlib
import json
import os
import pathlib
import secrets
import socket
import sys
import threading
import time
from typing import Final

import google.auth
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.cloud import storage
from requests import exceptions as transport

from digitmill.storage.interface import refuse_held
from schemas.errors import StorageError

LEASE_SECONDS: Final = 30.0
"""A lease that is not renewed for so long is free."""

RENEW_SECONDS: Final = 8.0
"""Seconds between two renewals by the holder."""

POLL_SECONDS: Final = 2.0
"""Seconds between two looks at another holder's lease."""

_TIMEOUT: Final = 10.0
"""Seconds that a store may take to answer."""

_OUT_OF_REACH: Final = (
    api.GoogleAPIError,
    google.auth.exceptions.GoogleAuthError,
    transport.RequestException,
)

_BOOT: Final = pathlib.Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """A lease on one object.

    Args:
        blob: the lease object.
        place: what is held, for complaints.
        retry: how taking the lease is tried again; renewing and giving it back are not.
    """

    def __init__(self, blob: storage.Blob, place: str, *, retry: Retry) -> None:
        self._retry = retry
        self._blob = blob
        self._place = place
        self._generation = 0
        self._token = secrets.token_hex(8)
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def take(self) -> None:
        """Takes the lease; watches another holder's for a while, if there is one.

        Raises:
            UserError: when the holder lives.
        """
        if not self._write(0, retry=self._retry) and not self._is_ours():
            self._take_over()
        self._thread.start()

    def give_back(self) -> None:
        """Ends the lease."""
        self._stop.set()
        self._thread.join()
        # Where that fails it runs out by itself; what ended the run matters more.
        with contextlib.suppress(*_OUT_OF_REACH):
            self._blob.delete(if_generation_match=self._generation, retry=None, timeout=_TIMEOUT)

    def confirm(self) -> None:
        """Raises StorageError when another launcher has taken over, as after a long sleep of this one."""
        if self._lost:
            raise StorageError(
                "a launcher holds its output to the end",
                value=self._place,
                hint="another launcher has taken it over and goes on",
            )

    def _take_over(self) -> None:
        seen = self._seen()
        if seen is not None and not _is_dead(seen[1]):
            print(f"{self._place} is held by {_name(seen[1])}: watching it", file=sys.stderr, flush=True)
            seen = self._watch(seen)
        if not self._write(seen[0] if seen else 0, retry=self._retry):
            raise refuse_held(self._place)

    def _watch(self, seen: tuple[int, dict]) -> tuple[int, dict] | None:
        """Returns what is left of a lease that was not renewed."""
        until = time.monotonic() + LEASE_SECONDS
        while time.monotonic() < until:
            time.sleep(POLL_SECONDS)
            now = self._seen()
            if now is None:
                return None
            if now[0] != seen[0]:
                raise refuse_held(self._place, _name(now[1]))
        return seen

    def _seen(self) -> tuple[int, dict] | None:
        try:
            self._blob.reload(retry=self._retry)
            content = self._blob.download_as_bytes(
                if_generation_match=self._blob.generation, retry=self._retry
            )
            return self._blob.generation, json.loads(content)
        except (api.NotFound, api.PreconditionFailed):
            return None

    def _write(self, generation: int, *, retry: Retry | None = None) -> bool:
        """Writes the lease in place of a generation; 0 is none. Returns whether that was still there."""
        try:
            self._blob.upload_from_string(
                json.dumps(_this_process() | {"token": self._token}),
                if_generation_match=generation,
                retry=retry,
                timeout=_TIMEOUT,
            )
        except api.PreconditionFailed:
            return False
        self._generation = self._blob.generation
        return True

    def _is_ours(self) -> bool:
        """Whether the lease that is there is one that we wrote: the answer to a write may have been lost."""
        seen = self._seen()
        if seen is None or seen[1].get("token") != self._token:
            return False
        self._generation = seen[0]
        return True

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            try:
                self._lost = not self._write(self._generation) and not self._is_ours()
            except _OUT_OF_REACH:
                continue  # the store is out of reach, for other launchers as well
            if self._lost:
                return


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
    """Returns which numbering of processes ours is of: containers on one machine may share its name."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _begun(process: int) -> str:
    """Returns when a process was begun, in the system's own count; empty where it is not running."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    # The name in parentheses may hold anything.
    return text.rpartition(")")[2].split()[19]


def _is_dead(holder: dict) -> bool:
    """Whether a holder ran on this machine and runs no more."""
    own = _this_process()
    here = all(own[name] and own[name] == holder.get(name) for name in ("host", "boot", "processes"))
    return here and _begun(holder["process"]) != holder["begun"]


def _name(holder: dict) -> str:
    return f"process {holder.get('process')} on {holder.get('host')}"
