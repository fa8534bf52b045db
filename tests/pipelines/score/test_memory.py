"""Peak memory of a whole run, seen from outside."""

import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.records import encode_records
from schemas import packed


def linked(folder: pathlib.Path, sources: list[pathlib.Path], count: int) -> pathlib.Path:
    """A folder with so many names, whose files are the sources' over and over."""
    for number in range(count):
        target = folder / str(number % 100) / f"{number:06d}.png"
        if number < 100:
            target.parent.mkdir(parents=True)
        os.link(sources[number % len(sources)], target)
    return folder


def peak(folder: pathlib.Path, bundle: pathlib.Path, output: pathlib.Path, *flags: str) -> int:
    """Score a folder and return the process's greatest resident size, KiB."""
    arguments = ["--input", folder, "--model", bundle, "--output", output, *flags]
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


def write_tar(path: pathlib.Path, members: int) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for number in range(members):
            file.write(tarfile.TarInfo(f"{number:07d}.png").tobuf())
        file.write(bytes(1024))


def write_zip(path: pathlib.Path, members: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(members):
            archive.writestr(f"{number:07d}.png", b"")


def write_records(path: pathlib.Path, members: int) -> None:
    with open(path, "wb") as file:
        for start in range(0, members, 10_000):
            numbers = range(start, min(start + 10_000, members))
            columns = {
                packed.ENCODED: [b""] * len(numbers),
                packed.NAME: [f"file:///{number:07d}.png" for number in numbers],
                packed.LABEL: np.full(len(numbers), -1),
                packed.GENERATION: np.zeros(len(numbers), np.int64),
            }
            file.write(encode_records(packed.COLUMNS, columns))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write"), [("a.tar.gz", write_tar), ("a.zip", write_zip), ("a.tfrecord", write_records)]
)
def test_an_archive_of_many_members_that_fail_takes_little_memory(
    bundle_path: pathlib.Path, tmp_path: pathlib.Path, name: str, write: Callable
) -> None:
    peaks = []
    for members in (70_000, 150_000):  # a record holds 65,536 failures, further ones are in files
        folder = tmp_path / str(members)
        folder.mkdir()
        write(folder / name, members)
        flags = ("--max-failure-rate", "1", "--rows-per-part", "20000")
        peaks.append(peak(folder, bundle_path, tmp_path / f"out{members}", *flags))
    small, large = peaks
    # Each further member's name takes up to 48 bytes, its row in the report 150 while that is written.
    assert large - small < 80_000 * 350 // 1024
