"""Thirty runs whose processes are killed at random moments, each resumed to its end."""

import collections
import csv
import os
import pathlib
import random
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import numpy as np
import psutil
import pytest
from PIL import Image

from digitmill.storage import open_folder
from pipelines.output.verification import verify
from tests.beam_engines import contents
from tests.launching import launch

RUNS = 30
IMAGES = 150

STRIKES = 3
"""Processes of a run that get a signal, before it is left alone."""

LONGEST = 2.5
"""Greatest time to the next strike, seconds: a run takes about 3."""

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
VICTIMS = ("launcher", "worker", "decoder")


@pytest.fixture(scope="module")
def scans(digits: np.ndarray, png_of: Callable, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Images that the worker decodes itself, images for the decoder process, and files that fail."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(IMAGES):
        digit, name = digits[number], f"{number:03d}"
        if number % 3:
            (folder / f"{name}.png").write_bytes(png_of(digit))
        elif number % 15:
            Image.fromarray(digit).save(folder / f"{name}.gif")
        else:
            (folder / f"{name}.png").write_bytes(b"no image")
    return folder


def arguments(scans: pathlib.Path, bundle: pathlib.Path, output: pathlib.Path) -> list[object]:
    flags = ("--rows-per-part", 5, "--workers", 2, "--max-failure-rate", 1, "--resume")
    return ["score", "--input", scans, "--model", bundle, "--output", output, *flags]


@pytest.fixture(scope="module")
def undisturbed(
    scans: pathlib.Path, bundle_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    process = launch(arguments(scans, bundle_path, folder / "out"), folder / "log")
    process.join(300)
    assert process.exitcode == 0
    return contents(folder / "out")


def find(launcher: BaseProcess, victim: str) -> list[psutil.Process]:
    """Return the processes of a kind that belong to a launcher."""
    try:
        whole = psutil.Process(launcher.pid)
        if victim == "launcher":
            return [whole]
        children = whole.children(recursive=True)
        return [child for child in children if victim in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def strike(launcher: BaseProcess, chance: random.Random) -> tuple[str, signal.Signals] | None:
    """Send a random signal to a random process of a run; return what was hit, None if there was nothing."""
    victim, sent = chance.choice(VICTIMS), chance.choice(SIGNALS)
    found = find(launcher, victim)
    if not found:
        return None
    try:
        os.kill(chance.choice(found).pid, sent)
    except ProcessLookupError:
        return None
    return victim, sent


def run_with_strikes(
    start: Callable[[], BaseProcess], chance: random.Random, log: pathlib.Path
) -> collections.Counter:
    """Start launchers until one ends by itself with all done; return which signals hit what."""
    hits: collections.Counter = collections.Counter()
    for _ in range(STRIKES + 1):
        launcher, stopped = start(), None
        while launcher.is_alive() and sum(hits.values()) < STRIKES:
            launcher.join(chance.uniform(0, LONGEST))
            hit = strike(launcher, chance) if launcher.is_alive() else None
            if hit is not None:
                hits[hit] += 1
                stopped = hit[1] if hit[0] == "launcher" else stopped
        launcher.join(300)
        if launcher.exitcode == 0:
            return hits
        # Of the launcher: killed, or stopped in good order. What befalls its children does not end it.
        assert stopped is not None, (hits, launcher.exitcode, log.read_text())
        assert launcher.exitcode in (1, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
    pytest.fail("a launcher that was left alone did not end well")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RUNS))
def test_a_run_whose_processes_are_killed_ends_the_same(
    scans: pathlib.Path,
    bundle_path: pathlib.Path,
    undisturbed: dict[str, bytes],
    tmp_path: pathlib.Path,
    seed: int,
) -> None:
    output = tmp_path / "out"

    def start() -> BaseProcess:
        return launch(arguments(scans, bundle_path, output), tmp_path / "log")

    hits = run_with_strikes(start, random.Random(seed), tmp_path / "log")
    assert contents(output) == undisturbed, (hits, (tmp_path / "log").read_text())
    assert verify(open_folder(str(output))).findings == ()
    listed = collections.Counter(
        row["image"]
        for table in [*output.glob("predictions/*.csv"), output / "reports/failures.csv"]
        for row in csv.DictReader(table.open(newline=""))
    )
    assert len(listed) == IMAGES
    assert set(listed.values()) == {1}
