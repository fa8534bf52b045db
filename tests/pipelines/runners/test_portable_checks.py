"""What portable runners need, looked at with the real things: ports, programs, Beam's own look-ups."""

import concurrent.futures
import contextlib
import http.server
import json
import pathlib
import socket
import sys
import threading
from collections.abc import Iterator

import grpc
import pytest
from apache_beam.utils.subprocess_server import JavaJarServer

from pipelines.runners import portable_checks
from pipelines.runners.beam_options import beam_options
from schemas.errors import UserError

PRISM = "--runner=PrismRunner"
FLINK = "--runner=FlinkRunner"
PROGRAM = f"--prism_location={sys.executable}"


def refusal(*flags: str) -> str:
    with pytest.raises(UserError) as caught:
        beam_options(flags)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.fixture
def java(tmp_path: pathlib.Path) -> str:
    """A launcher that is there; nothing here starts it."""
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return f"--job_server_java_launcher={program}"


@pytest.fixture
def jar(tmp_path: pathlib.Path) -> str:
    file = tmp_path / "job-server.jar"
    file.write_bytes(b"PK")
    return f"--flink_job_server_jar={file}"


@pytest.fixture
def listening() -> Iterator[int]:
    """A port where a gRPC server answers."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


@pytest.fixture
def closed() -> int:
    """A port that nobody listens to: it was free a moment ago, and is bound to nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def job_manager(answer: bytes) -> Iterator[int]:
    """The REST service of a Flink job manager, as far as its version goes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/v1/config"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_existing_prism_is_accepted() -> None:
    beam_options([PRISM, PROGRAM])


def test_the_launcher_waits() -> None:
    assert "'--no_wait_until_finish'. Leave it out" in refusal(PRISM, PROGRAM, "--no_wait_until_finish")


def test_missing_prism_is_reported_with_a_remedy(tmp_path: pathlib.Path) -> None:
    line = refusal(PRISM, f"--prism_location={tmp_path / 'prism'}")
    assert "PrismRunner needs the program prism" in line
    assert "go install github.com/apache/beam/sdks/v2/go/cmd/prism" in line


def test_a_folder_is_not_a_prism_binary(tmp_path: pathlib.Path) -> None:
    assert "PrismRunner needs the program prism" in refusal(PRISM, f"--prism_location={tmp_path}")


def test_a_port_in_use_is_refused(listening: int) -> None:
    line = refusal(PRISM, PROGRAM, f"--job_port={listening}")
    assert f"cannot use the port of --job_port (in use): {listening}. Leave it out" in line
    assert "in use" in line


def test_a_free_port_is_accepted(closed: int) -> None:
    beam_options([PRISM, PROGRAM, f"--job_port={closed}"])


@pytest.mark.parametrize("flag", ["--job_port", "--artifact_port", "--expansion_port"])
def test_an_invalid_port_is_refused(flag: str) -> None:
    assert f"cannot use the port of {flag}" in refusal(PRISM, PROGRAM, f"{flag}=70000")


def test_an_unreachable_worker_pool_is_reported(closed: int) -> None:
    line = refusal(PRISM, PROGRAM, "--environment_type=EXTERNAL", f"--environment_config=localhost:{closed}")
    assert "no worker pool answers at --environment_config" in line
    assert "worker_pool_main" in line


@pytest.mark.parametrize("written", ["localhost:{}", '{{"url": "localhost:{}"}}'])
def test_a_reachable_worker_pool_is_accepted(listening: int, written: str) -> None:
    config = f"--environment_config={written.format(listening)}"
    beam_options([PRISM, PROGRAM, "--environment_type=EXTERNAL", config])


@pytest.mark.parametrize("config", ["--environment_config={}", "--environment_config={no json"])
def test_a_worker_pool_without_an_address_is_reported(config: str) -> None:
    line = refusal(PRISM, PROGRAM, "--environment_type=EXTERNAL", config)
    assert "Give --environment_config=HOST:PORT" in line


def test_external_workers_are_given_an_address() -> None:
    with pytest.raises(UserError):
        beam_options([PRISM, PROGRAM, "--environment_type=EXTERNAL"])


def test_beams_own_container_is_refused(listening: int) -> None:
    line = refusal("--runner=PortableRunner", f"--job_endpoint=localhost:{listening}")
    assert 'container image lacks digitmill: "Beam\'s own image"' in line
    assert "--environment_type=EXTERNAL" in line


@pytest.mark.parametrize("flag", ["--environment_config=mill:1", "--sdk_container_image=mill:1"])
def test_a_custom_container_is_accepted(listening: int, flag: str) -> None:
    flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{listening}", flag]
    beam_options(flags)


def test_a_silent_job_server_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable_checks, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"localhost:{server.getsockname()[1]}"
        line = refusal("--runner=PortableRunner", f"--job_endpoint={address}", "--environment_type=LOOPBACK")
    assert f"the server at --job_endpoint does not answer within 0.2 s: '{address}'" in line


def test_an_unreachable_job_server_is_reported(closed: int) -> None:
    line = refusal(FLINK, f"--job_endpoint=localhost:{closed}")
    assert f"no job server answers at --job_endpoint: 'localhost:{closed}'. Start it first" in line


@pytest.mark.parametrize("address", ["localhost", "localhost:x", "localhost:99999"])
def test_an_invalid_address_is_reported(address: str) -> None:
    assert "no job server answers at --job_endpoint" in refusal(FLINK, f"--job_endpoint={address}")


def test_portable_runner_needs_a_job_endpoint() -> None:
    assert "--job_endpoint" in refusal("--runner=PortableRunner")


@pytest.mark.parametrize("runner", ["FlinkRunner", "SparkRunner"])
def test_without_java_a_job_server_cannot_run(
    runner: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refusal(f"--runner={runner}")
    assert "Java not found; the job servers of Flink and Spark need it: 'java'. Install Java" in line


@pytest.mark.parametrize(
    ("runner", "flag"), [("Flink", "--flink_job_server_jar"), ("Spark", "--spark_job_server_jar")]
)
def test_a_missing_jar_is_reported(runner: str, flag: str, java: str, tmp_path: pathlib.Path) -> None:
    missing = tmp_path / "missing.jar"
    line = refusal(f"--runner={runner}Runner", java, f"{flag}={missing}")
    assert f"cannot fetch the jar of the job server: {str(missing)!r}" in line
    assert f"Name the file by {flag}" in line


@pytest.mark.parametrize("runner", ["Flink", "Spark"])
def test_a_failed_download_of_the_jar_is_reported(
    runner: str, java: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, closed: int
) -> None:
    nowhere = f"http://127.0.0.1:{closed}"
    found = classmethod(lambda *_, **__: f"{nowhere}/beam-runners-job-server.jar")
    monkeypatch.setattr(JavaJarServer, "path_to_beam_jar", found)
    line = refusal(f"--runner={runner}Runner", java, f"--jar_cache_dir={tmp_path / 'jars'}")
    assert f"'no --{runner.lower()}_job_server_jar'" in line
    assert "stage the jar at" in line


def test_an_existing_jar_is_accepted(java: str, jar: str) -> None:
    beam_options([FLINK, java, jar])


def test_a_cluster_of_the_given_version_is_accepted(java: str, jar: str) -> None:
    with job_manager(b'{"flink-version": "1.20.3"}') as port:
        flags = [FLINK, java, jar, f"--flink_master=localhost:{port}", "--flink_version=1.20"]
        pool = ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
        beam_options([*flags, *pool])


@pytest.mark.parametrize(
    ("there", "remedy"),
    [
        ("1.20.3", "Give --flink_version=1.20"),
        ("1.14.6", "Use a cluster of a version that Beam runs on: 1.19, 1.20, 2.0"),
    ],
)
def test_a_cluster_of_another_version_is_refused(there: str, remedy: str, java: str, jar: str) -> None:
    with job_manager(json.dumps({"flink-version": there}).encode()) as port:
        line = refusal(FLINK, java, jar, f"--flink_master=localhost:{port}", "--flink_version=1.19")
    assert f"differs from the cluster's version {there}: '1.19'. {remedy}" in line


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]"])
def test_an_invalid_answer_of_a_job_manager_is_reported(answer: bytes, java: str, jar: str) -> None:
    with job_manager(answer) as port:
        line = refusal(FLINK, java, jar, f"--flink_master=localhost:{port}")
    assert "no Flink job manager answers at --flink_master" in line


def test_an_unreachable_job_manager_is_reported(java: str, jar: str, closed: int) -> None:
    line = refusal(FLINK, java, jar, f"--flink_master=localhost:{closed}")
    assert f"'http://localhost:{closed}'" in line


def test_a_cluster_cannot_use_workers_in_the_launcher(java: str, jar: str) -> None:
    with job_manager(b'{"flink-version": "1.20.3"}') as port:
        master = [f"--flink_master=localhost:{port}", "--flink_version=1.20"]
        line = refusal(FLINK, java, jar, *master, "--environment_type=LOOPBACK")
    assert "a cluster cannot reach workers in the launcher" in line
