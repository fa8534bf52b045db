"""A small stand-in for Google Cloud Storage that serves from memory, and injects faults when told to.

Usage: python -m benchmarks.stand_in_store FOLDER

Each sub-folder of FOLDER is a bucket. Prints its address on standard output and serves until it is killed.
It knows what digitmill needs: listings, reads by generation with CRC32C, uploads under conditions. An
emulator costs more than the client that is to be measured; this takes 30 us a read.

`POST /faults` with `Faults` as JSON begins faults and counts reads anew; `GET /counts` returns the counts.
"""

import asyncio
import base64
import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import google_crc32c

from benchmarks.process import ROOT

STALL: Final = 1
"""A status: the answer begins and never ends."""

VARIABLE: Final = "STORAGE_EMULATOR_HOST"

_PAGE: Final = 1000
"""Objects of a page of a listing, as Google Cloud Storage gives."""

_DATE: Final = "Sun, 01 Jan 2023 00:00:00 GMT"
_OK: Final = b"HTTP/1.1 200 OK"


@dataclasses.dataclass
class Faults:
    """What goes wrong with reads of objects.

    Attributes:
        status: answered to reads instead of the bytes; 0 for none, `STALL` for half an answer.
        seconds: how long, from the first read that meets it.
        after: reads that go well before.
        everything: whether listings and uploads meet it too.
        prefix: what the names of the objects begin with whose reads meet it.
        rate: reads/s that are granted; those beyond get status 429; 0 for all.
    """

    status: int = 0
    seconds: float = 0.0
    after: int = 0
    everything: bool = False
    prefix: str = ""
    rate: float = 0.0


class Store:
    """The objects, by bucket and name, and the faults."""

    def __init__(self, folder: pathlib.Path | None = None) -> None:
        self.buckets: dict[str, dict[str, _Object]] = {}
        self.generation = 1000
        for bucket in sorted(path for path in folder.iterdir() if path.is_dir()) if folder else ():
            self.buckets[bucket.name] = {
                str(path.relative_to(bucket.resolve())): self.make(path.read_bytes())
                for path in sorted(bucket.resolve().rglob("*"))
                if path.is_file()
            }
        self.names: dict[str, list[str]] = {}
        self.uploads: dict[str, tuple[str, str]] = {}
        self.faults = Faults()
        self.reads = self.refused = self.requests = 0
        self.begun: float | None = None
        self.turns, self.filled = 0.0, time.monotonic()

    def make(self, content: bytes) -> "_Object":
        self.generation += 1
        return _Object(content, self.generation)

    def put(self, bucket: str, name: str, content: bytes) -> "_Object":
        stored = self.buckets.setdefault(bucket, {})[name] = self.make(content)
        self.names.pop(bucket, None)
        return stored

    def sorted_names(self, bucket: str) -> list[str]:
        if bucket not in self.names:
            self.names[bucket] = sorted(self.buckets[bucket], key=str.encode)
        return self.names[bucket]

    def begin(self, faults: Faults) -> None:
        self.faults, self.begun = faults, None
        self.reads = self.refused = self.requests = 0
        self.turns, self.filled = faults.rate / 10, time.monotonic()

    def fault(self, name: str, *, is_read: bool) -> int:
        """Return the status that this request meets instead of an answer; 0 for none."""
        faults, self.requests = self.faults, self.requests + 1
        self.reads += is_read
        if not (is_read or faults.everything) or not name.startswith(faults.prefix):
            return 0
        status = self._lasting() or (self._over_rate() if is_read else 0)
        self.refused += bool(status) and is_read
        return status

    def _lasting(self) -> int:
        faults, now = self.faults, time.monotonic()
        if not faults.status or (faults.after and self.reads <= faults.after):
            return 0
        self.begun = now if self.begun is None else self.begun
        return faults.status if now - self.begun < faults.seconds else 0

    def _over_rate(self) -> int:
        if not self.faults.rate:
            return 0
        now = time.monotonic()
        # A tenth of a second's turns may be saved up.
        self.turns = min(self.faults.rate / 10, self.turns + (now - self.filled) * self.faults.rate)
        self.filled = now
        if self.turns < 1:
            return 429
        self.turns -= 1
        return 0


class _Object:
    """An object: bytes, and its head and JSON made once."""

    __slots__ = ("checksum", "content", "generation", "response")

    def __init__(self, content: bytes, generation: int) -> None:
        self.content = content
        self.generation = generation
        self.checksum = base64.b64encode(google_crc32c.value(content).to_bytes(4)).decode()
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n"
            f'Last-Modified: {_DATE}\r\nETag: "{generation}"\r\n'
            f"x-goog-generation: {generation}\r\nx-goog-hash: crc32c={self.checksum}\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self.response = head.encode() + content

    def described(self, bucket: str, name: str) -> dict[str, Any]:
        return {
            "kind": "storage#object",
            "name": name,
            "bucket": bucket,
            "size": str(len(self.content)),
            "generation": str(self.generation),
            "metageneration": "1",
            "crc32c": self.checksum,
            "timeCreated": "2023-01-01T00:00:00Z",
            "updated": "2023-01-01T00:00:00Z",
        }


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            length = _length(head)
            if len(self._data) < end + 4 + length:
                return
            body = self._data[end + 4 : end + 4 + length]
            self._data = self._data[end + 4 + length :]
            method, target, _ = head[: head.index(b"\r\n")].decode().split(" ")
            self._transport.write(_answer(self._store, method, target, head, body))


def _length(head: bytes) -> int:
    if head.startswith((b"GET", b"HEAD")):
        return 0
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _answer(store: Store, method: str, target: str, head: bytes, body: bytes) -> bytes:
    path, _, query = target.partition("?")
    given = dict(urllib.parse.parse_qsl(query))
    if path == "/faults":
        store.begin(Faults(**json.loads(body)))
        return _json({})
    if path == "/counts":
        return _json({"reads": store.reads, "refused": store.refused, "requests": store.requests})
    of_api = path.startswith(("/storage/", "/upload/", "/download/"))
    # The images are read by the XML API, the output by the JSON API.
    is_read = method == "GET" and not of_api
    bucket, _, name = path[1:].partition("/")
    status = store.fault("" if of_api else urllib.parse.unquote(name), is_read=is_read)
    if status:
        return _injected(status)
    if not of_api:
        found = _bytes(store, bucket, urllib.parse.unquote(name), given, head_only=method == "HEAD")
        return _first_byte(found) if b"bytes=0-0" in head and found.startswith(_OK) else found
    if path.startswith("/upload/"):
        return _upload(store, method, path, given, head, body)
    bucket, _, name = path.partition("/b/")[2].partition("/o")
    name = urllib.parse.unquote(name.lstrip("/"))
    if path.startswith("/download/"):
        return _bytes(store, bucket, name, given)
    return _metadata(store, method, bucket, name, given) if name else _listing(store, bucket, given)


def _first_byte(whole: bytes) -> bytes:
    """Return the answer to the one range that is asked for."""
    head, _, content = whole.partition(b"\r\n\r\n")
    length, kept = b"Content-Length: %d" % len(content), b"Content-Length: 1\r\nContent-Range: bytes 0-0/%d"
    head = head.replace(_OK, b"HTTP/1.1 206 Partial Content").replace(length, kept % len(content))
    return head + b"\r\n\r\n" + content[:1]


def _injected(status: int) -> bytes:
    if status == STALL:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nLast-Modified: {_DATE}\r\nETag: x\r\n\r\n."
        return head.encode()
    return b"HTTP/1.1 %d Injected\r\nContent-Length: 8\r\n\r\ninjected" % status


def _bytes(store: Store, bucket: str, name: str, given: dict[str, str], *, head_only: bool = False) -> bytes:
    found = store.buckets.get(bucket, {}).get(name)
    if found is None or given.get("generation", str(found.generation)) != str(found.generation):
        return _status(404)
    return found.response[: -len(found.content) or None] if head_only else found.response


def _metadata(store: Store, method: str, bucket: str, name: str, given: dict[str, str]) -> bytes:
    found = store.buckets.get(bucket, {}).get(name)
    if found is None:
        return _status(404)
    if method == "DELETE":
        if given.get("ifGenerationMatch", str(found.generation)) != str(found.generation):
            return _status(412)
        del store.buckets[bucket][name]
        store.names.pop(bucket, None)
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    return _json(found.described(bucket, name))


def _listing(store: Store, bucket: str, given: dict[str, str]) -> bytes:
    if bucket not in store.buckets:
        return _status(404)
    prefix, delimiter = given.get("prefix", ""), given.get("delimiter", "")
    start, end = max(given.get("startOffset", ""), given.get("pageToken", "")), given.get("endOffset", "")
    most = min(_PAGE, int(given.get("maxResults", _PAGE)))
    objects = store.buckets[bucket]
    names = [
        name
        for name in store.sorted_names(bucket)
        if name.startswith(prefix) and name >= start and (not end or name < end)
    ]
    result: dict[str, Any] = {}
    if delimiter:
        folders = {prefix + name[len(prefix) :].partition(delimiter)[0] + delimiter for name in names
                   if delimiter in name[len(prefix) :]}  # fmt: skip
        return _json({"prefixes": sorted(folders)})
    result["items"] = [objects[name].described(bucket, name) for name in names[:most]]
    if len(names) > most:
        result["nextPageToken"] = names[most]
    return _json(result)


def _upload(store: Store, method: str, path: str, given: dict[str, str], head: bytes, body: bytes) -> bytes:
    bucket = path.partition("/b/")[2].partition("/o")[0]
    if method == "PUT":
        bucket, name = store.uploads[given["upload_id"]]
        return _json(store.put(bucket, name, body).described(bucket, name))
    if given.get("uploadType") == "resumable":
        name = given.get("name") or json.loads(body)["name"]
        content = None
    else:
        boundary = body[: body.index(b"\r\n")]
        parts = body.split(b"\r\n" + boundary)
        name = json.loads(parts[0].split(b"\r\n\r\n", 1)[1])["name"]
        content = parts[1].split(b"\r\n\r\n", 1)[1]
    found = store.buckets.setdefault(bucket, {}).get(name)
    expected = given.get("ifGenerationMatch")
    if expected is not None and int(expected) != (found.generation if found else 0):
        return _status(412)
    if content is None:
        store.uploads[str(len(store.uploads))] = bucket, name
        host = next(line[6:] for line in head.split(b"\r\n") if line.lower().startswith(b"host: ")).decode()
        place = f"http://{host}{path}?upload_id={len(store.uploads) - 1}"
        return b"HTTP/1.1 200 OK\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % place.encode()
    return _json(store.put(bucket, name, content).described(bucket, name))


def _json(answer: dict[str, Any]) -> bytes:
    body = json.dumps(answer).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )


def _status(status: int) -> bytes:
    return b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % status


async def listen(store: Store) -> tuple[asyncio.Server, str]:
    """Begin to serve a store; return the server and its address."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(store), "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _serve(folder: pathlib.Path) -> None:
    server, address = await listen(Store(folder))
    print(address, flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[str]:
    """Context manager that serves sub-folders as buckets from a new process; yields the address."""
    command = [sys.executable, "-m", "benchmarks.stand_in_store", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def begin(address: str, faults: Faults) -> None:
    """Begin faults, and count anew."""
    body = json.dumps(dataclasses.asdict(faults)).encode()
    urllib.request.urlopen(f"{address}/faults", data=body).close()


def counts(address: str) -> dict[str, int]:
    """Return the reads of objects, those of them that were refused, and all requests."""
    with urllib.request.urlopen(f"{address}/counts") as answer:
        return dict(json.load(answer))


if __name__ == "__main__":
    asyncio.run(_serve(pathlib.Path(sys.argv[1])))
