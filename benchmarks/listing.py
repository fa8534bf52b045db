"""Lists a synthetic bucket of a million names the way a run does: serially first, then in ranges.

Usage: python -m benchmarks.listing [--names N]

The server is a process of its own that makes up pages of names and never stores one. Prints seconds
and the client's peak memory.
"""

import argparse
import bisect
import http.server
import json
import multiprocessing
import os
import resource
import tempfile
import time
import urllib.parse

from digitmill.storage import open_folder
from digitmill.storage.object_stores import google
from pipelines.listing.frozen_listing import RangeLister
from pipelines.listing.input_listing import list_with_ranges

PAGE = 1000


class Names:
    """Names number 0 to N-1, in order, without holding them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> str:
        return f"scans/{number // 10_000:05d}/{number:09d}.png"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    names = Names(0)

    def log_message(self, *_):
        """Says nothing."""

    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        least = max(query.get("startOffset", ""), query.get("prefix", ""))
        start = int(query["pageToken"]) if "pageToken" in query else bisect.bisect_left(self.names, least)
        stop = min(start + min(PAGE, int(query.get("maxResults", PAGE))), len(self.names))
        items = [
            {"name": self.names[n], "size": "300", "generation": "1700000000000000", "crc32c": "AAAAAA=="}
            for n in range(start, stop)
            if self.names[n].startswith(query.get("prefix", ""))
            and (not query.get("endOffset") or self.names[n] < query["endOffset"])
        ]
        more = len(items) == stop - start and stop < len(self.names)
        body = json.dumps({"items": items} | ({"nextPageToken": str(stop)} if more else {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def serve(count: int, port) -> None:
    Handler.names = Names(count)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.put(server.server_address[1])
    server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", type=int, default=1_000_000)
    count = parser.parse_args().names
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    server = context.Process(target=serve, args=(count, port), daemon=True)
    server.start()
    os.environ[google.EMULATOR] = f"http://127.0.0.1:{port.get()}"
    started = time.perf_counter()
    listing = list_with_ranges("gs://bucket/scans/")
    first = sum(1 for _ in listing)
    serial = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as name:
        lister = RangeLister(open_folder(name), run="run", folder_labels=False)
        listed = sum(len(item.images) for keys in listing.ranges for item in lister.items(keys))
    seconds = time.perf_counter() - started
    server.kill()
    found = first + listed
    if found != count:
        raise SystemExit(f"{found:,} names of {count:,}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} names in {seconds:.1f} s, {peak:,.0f} MB at most; the first {first:,} and "
        f"the bounds of {len(listing.ranges)} ranges in {serial:.1f} s, then one range after the other"
    )


if __name__ == "__main__":
    main()
