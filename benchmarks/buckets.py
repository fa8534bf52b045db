"""Scores objects of a GCS emulator by digitmill and by the stock Beam route, in turns.

Usage: python -m benchmarks.buckets [--images N] [--stock-images N] [--rounds N]

Needs the emulator that `make tools` builds. It runs on the same cores as the client, so both routes
pay for its work too. The stock route is given fewer images, because it would take minutes; what is
compared is images/s. The client's processor time is that of reading alone, measured in this process.
"""

import argparse
import contextlib
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator

from benchmarks.setting import run_digitmill, script, train, write_images
from pipelines.storage import ImageReader, google, list_place

TOOLS = pathlib.Path(__file__).resolve().parents[1] / ".venv" / "tools"


@contextlib.contextmanager
def emulator(buckets: pathlib.Path) -> Iterator[str]:
    """Serves each sub-folder as a bucket and yields the address."""
    program = shutil.which("fake-gcs-server", path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        raise SystemExit("fake-gcs-server is missing: install Go and run `make tools`")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    arguments = ["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    with subprocess.Popen(
        [program, *arguments, "-data", str(buckets), "-public-host", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.2)
            yield f"http://{address}"
        finally:
            process.kill()


def reading_cost(place: str, images: int) -> tuple[float, float]:
    """Returns wall and processor time of reading an image, us, listing apart."""
    listed = list(list_place(place))[:images]
    with ImageReader() as reader:
        wall, processor = time.perf_counter(), time.process_time()
        contents = list(reader.read(listed))
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    if not all(isinstance(content, bytes) for content in contents):
        raise SystemExit("an object could not be read")
    return 1e6 * wall / len(listed), 1e6 * processor / len(listed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--stock-images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_images(folder / "buckets/large", arguments.images)
        write_images(folder / "buckets/small", arguments.stock_images)
        bundle = train(folder / "run")
        with emulator(folder / "buckets") as address:
            measure(arguments, folder, bundle=bundle, address=address)


def measure(
    arguments: argparse.Namespace, folder: pathlib.Path, *, bundle: pathlib.Path, address: str
) -> None:
    environment = {google.EMULATOR: address}
    os.environ |= environment
    rates: dict[str, list[float]] = {"digitmill": [], "stock Beam": []}
    costs = []
    for turn in range(arguments.rounds):
        manifest = run_digitmill("gs://large", bundle, folder / f"out-{turn}", environment=environment)
        if manifest["counts"]["scored"] != arguments.images:
            raise SystemExit(f"{manifest['counts']} of {arguments.images:,} images")
        rates["digitmill"].append(arguments.images / manifest["times"]["pipeline_seconds"])
        seconds = script("benchmarks.stock_beam", "gs://small", bundle, folder / f"stock-{turn}")
        rates["stock Beam"].append(arguments.stock_images / seconds)
        costs.append(reading_cost("gs://large", arguments.images))
    medians = {contender: statistics.median(values) for contender, values in rates.items()}
    print(f"emulator on the same machine, {platform.machine()}, Python {platform.python_version()}")
    for contender, values in rates.items():
        print(
            f"{contender:12} {medians[contender]:8,.0f} images/s ({', '.join(f'{v:,.0f}' for v in values)})"
        )
    print(f"digitmill is {medians['digitmill'] / medians['stock Beam']:.1f} x")
    wall, processor = (statistics.median(column) for column in zip(*costs, strict=True))
    print(f"reading an image: {processor:.0f} us of the client's processor time, {wall:.0f} us of wall time")


if __name__ == "__main__":
    main()
