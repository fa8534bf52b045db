"""Contenders that take no time: they name each image by its folder."""

import pathlib
import sys
from collections.abc import Sequence

from benchmarks.contenders import Contender, Model, printed_seconds

_ANSWER = """
import csv, pathlib, sys
images, output = sys.argv[1], pathlib.Path(sys.argv[2])
output.mkdir(parents=True)
{names}
with (output / "predictions.csv").open("w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["image", "digit"])
    rows.writerows([name, name.split("/")[-2]] for name in names)
print(len(names) / 1000)
"""

_LOCAL = _ANSWER.format(names="names = sorted(map(str, pathlib.Path(images).glob('*/*.*')))")

# Reads a bucket with one request for the names and one for each object, and one more where told to.
_BUCKET = _ANSWER.format(
    names="""
import json, os, urllib.request
server, bucket = os.environ["STORAGE_EMULATOR_HOST"], images.removeprefix("gs://")
get = lambda path: urllib.request.urlopen(f"{server}{path}").read()
listed = json.loads(get(f"/storage/v1/b/{bucket}/o"))["items"]
names = [f"{images}/{item['name']}" for item in listed]
for _ in range(int(sys.argv[3])):
    assert all(get(f"/{bucket}/{item['name']}").startswith(b"\\x89PNG") for item in listed)
"""
)


def _command(code: str, *more: object) -> object:
    def command(images: object, _: Model, output: pathlib.Path) -> Sequence[object]:
        return [sys.executable, "-c", code, images, output, *more]

    return command


def local(name: str) -> Contender:
    """Return a contender for folders; its seconds are a thousandth of its images."""
    return Contender(name, _command(_LOCAL), printed_seconds)


def of_buckets(name: str, reads: int) -> Contender:
    """Return a contender for buckets that reads every object so often."""
    return Contender(name, _command(_BUCKET, reads), printed_seconds)


def forgetful(name: str) -> Contender:
    """Return a contender that loses an image."""
    return Contender(
        name,
        _command(_LOCAL.replace("len(names)", "1").replace("in names)", "in names[1:])")),
        printed_seconds,
    )
