"""A REST service on loopback that keeps what it is asked and answers as a test wants."""

import contextlib
import dataclasses
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request: method, path without query, and the body as JSON."""

    method: str
    path: str
    body: Any


Answer = Callable[[Asked], tuple[int, Any]]


class StandIn(http.server.ThreadingHTTPServer):
    """The service; `answer` turns each request into status and JSON."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path.partition("?")[0], json.loads(body) if body else None)
        self.server.asked.append(asked)
        status, answer = self.server.answer(asked)
        content = json.dumps(answer).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[StandIn]:
    server = StandIn(answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def rest_stand_in() -> Iterator[Callable[[Answer], StandIn]]:
    """Start a service that ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(answer))
