"""Scores one folder on each of Beam's engines, in turns: what starting costs, and images/s from then on.

Usage: python -m benchmarks.runners [--images N] [--rounds N] [--flink]

Start-up is the pipeline's time for the first work item's worth of one image: engine, workers and model
included, the interpreter and its imports left out. The rate is that of all other images in the time that
they add. Prism is what `make tools` builds. With --flink a cluster is started as `make flink-test` does,
and measured with one and with two task managers.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.contenders import MODELS
from benchmarks.setting import Setting, write_images
from schemas.manifest import Manifest
from tests.beam_engines import PRISM, TOOLS, worker_pool
from tests.flink import flink_cluster

ITEM = 1000
"""Rows of a work item: small, so that every worker has several."""


@dataclasses.dataclass
class Engine:
    """An engine's flags, and the seconds of its pipelines, by number of images."""

    name: str
    flags: tuple[str, ...]
    first: list[float] = dataclasses.field(default_factory=list)
    whole: list[float] = dataclasses.field(default_factory=list)


def seconds(engine: Engine, images: pathlib.Path, bundle: pathlib.Path, output: pathlib.Path) -> float:
    named = ["--input", images, "--model", bundle, "--output", output, "--rows-per-part", ITEM]
    command = [sys.executable, "-m", "pipelines.score", *map(str, named), *engine.flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{engine.name} failed:\n{done.stderr[-2000:]}")
    manifest = Manifest.from_json((output / "manifest.json").read_text())
    expected = sum(1 for path in images.rglob("*") if path.is_file())
    if manifest.counts.scored != expected:
        raise SystemExit(f"{engine.name}: {manifest.counts} of {expected:,} images")
    taken = float(manifest.times["pipeline_seconds"])
    print(f"{engine.name}: {expected:,} images in {taken:.2f} s", file=sys.stderr, flush=True)
    return taken


@contextlib.contextmanager
def flink(folder: pathlib.Path, task_managers: int) -> Iterator[tuple[str, ...]]:
    """Starts a cluster and yields the flags of runs on it."""
    folder.mkdir()
    jar = flink_cluster.job_server()
    with (
        flink_cluster.running_cluster(folder, task_managers=task_managers) as cluster,
        worker_pool(folder / "pool") as pool,
    ):
        master = f"--flink_master={cluster.master}", f"--flink_version={flink_cluster.MINOR}"
        named = f"--flink_job_server_jar={jar}", f"--parallelism={task_managers}"
        yield "--runner=FlinkRunner", *master, *named, *pool.flags


def table(engines: list[Engine], images: int) -> str:
    lines = [
        f"{images:,} images, {platform.machine()}, Python {platform.python_version()}",
        f"{'':26} {'start-up, s: median (all)':32} {'images/s':>9}",
    ]
    for engine in engines:
        start = statistics.median(engine.first)
        listed = f"{start:.2f} ({', '.join(f'{value:.2f}' for value in engine.first)})"
        added = statistics.median(engine.whole) - start
        # A start that takes longer than all images says nothing about their rate.
        rate = f"{(images - 1) / added:,.0f}" if added > 0 else "not seen"
        lines.append(f"{engine.name:26} {listed:32} {rate:>9}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flink", action="store_true")
    parser.add_argument("--prism", default=str(TOOLS / PRISM), help="the program")
    parser.add_argument("--model", type=pathlib.Path, help="a bundle, instead of one trained now")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        write_images(folder / "one", 1)
        write_images(folder / "all", arguments.images)
        bundle = arguments.model or Setting(folder).trained(MODELS[0]).bundle
        prism = ("--runner=PrismRunner", f"--prism_location={arguments.prism}")
        pool = stack.enter_context(worker_pool(folder / "pool"))
        engines = [
            Engine("DirectRunner", ("--runner=DirectRunner",)),
            Engine("Prism, workers in launcher", prism),
            Engine("Prism, worker pool", (*prism, *pool.flags)),
        ]
        for number in (1, 2) if arguments.flink else ():
            flags = stack.enter_context(flink(folder / f"flink-{number}", number))
            engines.append(Engine(f"Flink, {number} task manager(s)", flags))
        for turn in range(arguments.rounds):
            for number, engine in enumerate(engines):
                output = folder / f"out-{number}-{turn}"
                engine.first.append(seconds(engine, folder / "one", bundle, output / "one"))
                engine.whole.append(seconds(engine, folder / "all", bundle, output / "all"))
        print(table(engines, arguments.images))


if __name__ == "__main__":
    main()
