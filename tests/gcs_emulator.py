"""A real GCS emulator for the tests, and in front of it a proxy that counts and breaks requests.

Google's client is imported where it is used: pytest loads this module in every process, whatever is run.
"""

import collections
import contextlib
import http.client
import http.server
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator

import pytest

TOOLS = pathlib.Path(__file__).parents[1] / ".venv" / "tools"
EMULATOR = "fake-gcs-server"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{process.args} does not answer")


@pytest.fixture(scope="session")
def gcs_port() -> Iterator[int]:
    """Port of the emulator; without it the tests that need it are skipped."""
    program = shutil.which(EMULATOR, path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"{EMULATOR} is missing: install Go and run `make tools`")
    port = free_port()
    arguments = ["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    with subprocess.Popen(
        [program, *arguments, "-public-host", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_for(port, process)
            yield port
        finally:
            process.kill()


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on to the emulator, counts them, and breaks those that it is told to.

    Attributes:
        requests: (method, object name or "") of every request, in order.
        targets: path and query of every request, in order.
        connections: connections that clients opened.
        faults: for an object's name the faults of its next reads, one each: see `Handler.FAULTS`.
        lasting: for an object's name a fault of all its reads.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, backend: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.backend = backend
        self.requests: list[tuple[str, str]] = []
        self.targets: list[str] = []
        self.connections = 0
        self.faults: dict[str, collections.deque] = collections.defaultdict(collections.deque)
        self.lasting: dict[str, object] = {}
        self.lock = threading.Lock()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def reads(self, name: str | None = None) -> int:
        """Number of requests for an object's bytes; of all objects without a name."""
        return sum(
            1 for method, found in self.requests if method == "GET" and found and name in (None, found)
        )

    def get_request(self) -> tuple:
        self.connections += 1
        return super().get_request()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer's head and body leave together, or Nagle's algorithm holds the body back
    disable_nagle_algorithm = True
    server: Proxy

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle_one_request()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self._object_name()
        with self.server.lock:
            self.server.requests.append((self.command, name))
            self.server.targets.append(self.path)
            queue = self.server.faults.get(name) if self.command == "GET" else None
            fault = (
                queue.popleft() if queue else self.server.lasting.get(name) if self.command == "GET" else None
            )
        if callable(fault):
            fault()
            fault = None
        if isinstance(fault, int):
            self._answer(fault, [("Content-Type", "text/plain")], b"injected")
        elif fault == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self._pass_on(body, cut=fault == "truncated")

    do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = do_GET  # noqa: N815

    def _object_name(self) -> str:
        """The object whose bytes are asked for; empty for listings and all else."""
        path = urllib.parse.urlsplit(self.path)
        if path.path.startswith("/download/"):
            return urllib.parse.unquote(path.path.rpartition("/o/")[2])
        if path.path.startswith(("/storage/", "/upload/", "/b/", "/_internal")):
            return ""
        return urllib.parse.unquote(path.path.lstrip("/").partition("/")[2])

    def _pass_on(self, body: bytes, *, cut: bool) -> None:
        backend = http.client.HTTPConnection("127.0.0.1", self.server.backend, timeout=30)
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in ("connection", "host")
        }
        # The emulator tells its own requests from others by the host that they name.
        headers["Host"] = f"127.0.0.1:{self.server.backend}"
        backend.request(self.command, self.path, body=body or None, headers=headers)
        answer = backend.getresponse()
        content = answer.read()
        kept = [
            (n, v) for n, v in answer.getheaders() if n.lower() not in ("connection", "transfer-encoding")
        ]
        backend.close()
        self._answer(answer.status, kept, content, cut=cut)

    def _answer(self, status: int, headers: list, content: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        length = next((v for n, v in headers if n.lower() == "content-length"), None)
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        if cut:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


@pytest.fixture
def proxy(gcs_port: int) -> Iterator[Proxy]:
    """A fresh proxy before the emulator."""
    server = Proxy(gcs_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def through_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The proxy, with this process's clients going through it."""
    from digitmill.storage.object_stores import google

    monkeypatch.setenv(google.EMULATOR, f"http://127.0.0.1:{proxy.port}")
    google.client.cache_clear()
    yield proxy
    google.client.cache_clear()


Upload = Callable[[dict[str, bytes]], None]


class Bucket:
    """A bucket of the emulator, filled and changed past the proxy."""

    def __init__(self, port: int, name: str) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        self.name = name
        options = {"api_endpoint": f"http://127.0.0.1:{port}"}
        client = storage.Client(project="test", credentials=AnonymousCredentials(), client_options=options)
        self.bucket = client.create_bucket(name)

    @property
    def uri(self) -> str:
        return f"gs://{self.name}"

    def put(self, name: str, content: bytes) -> None:
        self.bucket.blob(name).upload_from_string(content)

    def delete(self, name: str) -> None:
        self.bucket.blob(name).delete()

    def names(self) -> list[str]:
        return [blob.name for blob in self.bucket.list_blobs()]

    def read(self, name: str) -> bytes:
        return self.bucket.blob(name).download_as_bytes()


@pytest.fixture
def bucket(gcs_port: int, through_proxy: Proxy, request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket of the test's own; this process reaches it through the proxy."""
    return Bucket(gcs_port, f"b{abs(hash(request.node.nodeid))}")
