"""Peak memory of a whole run, seen from outside."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest


def linked(folder: pathlib.Path, sources: list[pathlib.Path], count: int) -> pathlib.Path:
    """A folder with so many names, whose files are the sources' over and over."""
    for number in range(count):
        target = folder / str(number % 100) / f"{number:06d}.png"
        if number < 100:
            target.parent.mkdir(parents=True)
        os.link(sources[number % len(sources)], target)
    return folder


def peak(folder: pathlib.Path, bundle: pathlib.Path, output: pathlib.Path) -> int:
    """Scores a folder and returns the process's greatest resident size, KiB."""
    arguments = ["--input", folder, "--model", bundle, "--output", output]
    command = [sys.executable, "-m", "pipelines.score", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


@pytest.mark.slow
def test_ten_times_the_images_take_no_more_memory(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    sources = sorted(digit_folder.rglob("*.png"))
    peaks = []
    for count in (10_000, 100_000):
        folder = linked(tmp_path / str(count), sources, count)
        peaks.append(peak(folder, bundle_path, tmp_path / f"out{count}"))
        shutil.rmtree(folder)  # else a later session has to
    small, large = peaks
    assert large <= 1.1 * small
