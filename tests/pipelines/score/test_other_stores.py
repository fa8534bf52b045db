"""S3 and Azure, read from servers that speak their protocols."""

import base64
import datetime
import hashlib
import hmac
import os
import pathlib
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator

import numpy as np
import obstore
import pytest

from digitmill.storage import ImageReader, list_place
from digitmill.storage.object_stores.stores import make_store
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from tests.gcs_emulator import TOOLS, free_port, wait_for

# Public, and the same for every installation of Azure's emulator.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def azure_endpoint() -> Iterator[str]:
    program = shutil.which("azurite-blob", path=f"{TOOLS}/node_modules/.bin{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("azurite is missing: install npm and run `make tools`")
    port = free_port()
    quiet = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    with subprocess.Popen([program, *quiet, "--blobPort", str(port)], stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}/{ACCOUNT}"
        finally:
            process.kill()


def make_s3_bucket(name: str, endpoint: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT"))


def make_azure_container(name: str, endpoint: str) -> None:
    date = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    version = "2021-08-06"
    headers = f"x-ms-date:{date}\nx-ms-version:{version}"
    text = "PUT" + "\n" * 12 + f"{headers}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signature = base64.b64encode(
        hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    ).decode()
    request = urllib.request.Request(f"{endpoint}/{name}?restype=container", method="PUT")
    for header, value in (("x-ms-date", date), ("x-ms-version", version)):
        request.add_header(header, value)
    request.add_header("Authorization", f"SharedKey {ACCOUNT}:{signature}")
    urllib.request.urlopen(request)


@pytest.fixture(params=["s3", pytest.param("az", marks=pytest.mark.emulator)])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket or container that this process's environment gives access to."""
    name = f"b{abs(hash(request.node.nodeid))}"
    if request.param == "s3":
        endpoint = request.getfixturevalue("s3_endpoint")
        make_s3_bucket(name, endpoint)
        values = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
    else:
        endpoint = request.getfixturevalue("azure_endpoint")
        make_azure_container(name, endpoint)
        values = {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": endpoint,
            "AZURE_STORAGE_USE_EMULATOR": "false",
        }
    for variable, value in values.items():
        monkeypatch.setenv(variable, value)
    return f"{request.param}://{name}"


def put(place: str, name: str, content: bytes) -> None:
    scheme, _, bucket = place.partition("://")
    obstore.put(make_store(scheme, bucket), name, content)


def delete(place: str, name: str) -> None:
    scheme, _, bucket = place.partition("://")
    obstore.delete(make_store(scheme, bucket), name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ["in-old/x.png", "in/3/a.png", "in/b c.png", "in/x[1].png", "in/é.png"]),
        ("in", ["in/3/a.png", "in/b c.png", "in/x[1].png", "in/é.png"]),
        ("in/*.png", ["in/b c.png", "in/x[1].png", "in/é.png"]),
        ("in/**/[ab]*.png", ["in/3/a.png", "in/b c.png"]),
        ("in/x[1].png", ["in/x[1].png"]),
    ],
)
def test_objects_are_listed_and_read(place: str, given: str, expected: list[str]) -> None:
    for name in ("in/3/a.png", "in/b c.png", "in/é.png", "in/x[1].png", "in-old/x.png"):
        put(place, name, name.encode())
    images = sorted(list_place(f"{place}/{given}"))
    assert [image.uri.removeprefix(f"{place}/") for image in images] == expected
    assert all(image.generation > 0 and image.size > 0 and image.checksum for image in images)
    with ImageReader() as reader:
        assert list(reader.read(images)) == [name.encode() for name in expected]


def test_what_vanished_is_missing_and_what_was_overwritten_has_changed(place: str) -> None:
    for name in ("a", "b", "c"):
        put(place, name, b"before")
    images = sorted(list_place(place))
    delete(place, "a")
    put(place, "b", b"after!")
    with ImageReader() as reader:
        gone, changed, kept = reader.read(images)
    assert isinstance(gone, ImageError)
    assert isinstance(changed, ImageError)
    assert (gone.code, changed.code, kept) == (FailureCode.MISSING, FailureCode.CHANGED, b"before")


def test_a_bucket_that_does_not_exist_is_said_so(place: str) -> None:
    scheme = place.partition("://")[0]
    with pytest.raises(UserError, match="a bucket can be listed"):
        list(list_place(f"{scheme}://no-such-bucket/in"))


@pytest.mark.slow
def test_a_bucket_is_scored(
    place: str,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    digits: np.ndarray,
    labels: np.ndarray,
    png_of: Callable,
) -> None:
    for number in range(0, 500, 25):
        put(place, f"in/{labels[number]}/{number}.png", png_of(digits[number]))
    put(place, "in/0/bad.png", b"")
    options = ScoreOptions(
        (f"{place}/in",),
        bundle_path,
        str(tmp_path / "out"),
        labels="folder",
        beam_flags=("--runner=FnApiRunner",),
    )
    manifest = run(options).manifest
    assert (manifest.counts.scored, manifest.counts.failed, manifest.labelled) == (20, 1, 20)
