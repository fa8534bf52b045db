"""Emulators of S3 and Azure for the tests."""

import base64
import datetime
import hashlib
import hmac
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator

import obstore
import pytest

from tests.gcs_emulator import TOOLS, free_port, wait_for

# Public, and the same for every installation of Azure's emulator.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
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


class Store:
    """An empty bucket or container of an emulator, filled and changed past the code under test.

    Attributes:
        uri: of the bucket.
        environment: the variables that give access to it.
    """

    def __init__(self, uri: str, environment: dict[str, str]) -> None:
        self.uri = uri
        self.environment = environment

    def put(self, name: str, content: bytes) -> None:
        obstore.put(self._store(), name, content)

    def delete(self, name: str) -> None:
        obstore.delete(self._store(), name)

    def names(self) -> list[str]:
        return sorted(meta["path"] for page in obstore.list(self._store()) for meta in page)

    def _store(self) -> object:
        from digitmill.storage.object_stores.stores import make_store

        scheme, _, bucket = self.uri.partition("://")
        return make_store(scheme, bucket)


@pytest.fixture(params=["s3", pytest.param("az", marks=pytest.mark.emulator)])
def other_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty bucket of S3 or Azure that this process's environment gives access to."""
    name = f"b{abs(hash(request.node.nodeid))}"
    if request.param == "s3":
        return s3_bucket(name, request.getfixturevalue("s3_endpoint"), monkeypatch)
    endpoint = request.getfixturevalue("azure_endpoint")
    make_azure_container(name, endpoint)
    environment = {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        "AZURE_STORAGE_ENDPOINT": endpoint,
        "AZURE_STORAGE_USE_EMULATOR": "false",
    }
    return _store(f"az://{name}", environment, monkeypatch)


def s3_bucket(name: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Make a bucket that this process's environment gives access to until the test ends."""
    make_s3_bucket(name, endpoint)
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    return _store(f"s3://{name}", environment, monkeypatch)


def _store(uri: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Store:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    return Store(uri, environment)
