"""What portable runners need, looked at with the real things: ports, programs, Beam's own look-ups."""

import contextlib
import http.server
import json
import pathlib
import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from apache_beam.utils.subprocess_server import JavaJarServer

from pipelines.runners.beam_options import beam_options
from schemas.errors import UserError

PRISM = "--runner=PrismRunner"
FLINK = "--runner=FlinkRunner"
PROGRAM = f"--prism_location={sys.executable}"


def refusal(*flags: str) -> str:
    with pytest.raises(UserError) as caught:
        beam_options(flags, verb="score", own=())
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
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


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
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_prism_that_is_there_is_taken() -> None:
    beam_options([PRISM, PROGRAM], verb="score", own=())


def test_the_launcher_waits() -> None:
    assert "got '--no_wait_until_finish'; leave it out" in refusal(PRISM, PROGRAM, "--no_wait_until_finish")


def test_prism_that_is_missing_is_said_with_how_to_get_it(tmp_path: pathlib.Path) -> None:
    line = refusal(PRISM, f"--prism_location={tmp_path / 'prism'}")
    assert "PrismRunner has the program prism" in line
    assert "go install github.com/apache/beam/sdks/v2/go/cmd/prism" in line


def test_a_folder_is_no_prism(tmp_path: pathlib.Path) -> None:
    assert "PrismRunner has the program prism" in refusal(PRISM, f"--prism_location={tmp_path}")


def test_a_port_that_is_taken_is_refused(listening: int) -> None:
    line = refusal(PRISM, PROGRAM, f"--job_port={listening}")
    assert f"--job_port is a free port; got {listening}; leave it out" in line
    assert "in use" in line


def test_a_port_that_is_free_is_taken(closed: int) -> None:
    beam_options([PRISM, PROGRAM, f"--job_port={closed}"], verb="score", own=())


@pytest.mark.parametrize("flag", ["--job_port", "--artifact_port", "--expansion_port"])
def test_a_number_that_is_no_port_is_refused(flag: str) -> None:
    assert f"{flag} is a free port; got 70000" in refusal(PRISM, PROGRAM, f"{flag}=70000")


def test_a_worker_pool_that_does_not_answer_is_said(closed: int) -> None:
    line = refusal(PRISM, PROGRAM, "--environment_type=EXTERNAL", f"--environment_config=localhost:{closed}")
    assert "a worker pool answers where --environment_config says" in line
    assert "worker_pool_main" in line


@pytest.mark.parametrize("written", ["localhost:{}", '{{"url": "localhost:{}"}}'])
def test_a_worker_pool_that_answers_is_taken(listening: int, written: str) -> None:
    config = f"--environment_config={written.format(listening)}"
    beam_options([PRISM, PROGRAM, "--environment_type=EXTERNAL", config], verb="score", own=())


@pytest.mark.parametrize("config", ["--environment_config={}", "--environment_config={no json"])
def test_a_worker_pool_without_an_address_is_said(config: str) -> None:
    line = refusal(PRISM, PROGRAM, "--environment_type=EXTERNAL", config)
    assert "give --environment_config=HOST:PORT" in line


def test_external_workers_are_given_an_address() -> None:
    with pytest.raises(UserError):
        beam_options([PRISM, PROGRAM, "--environment_type=EXTERNAL"], verb="score", own=())


def test_beams_own_container_has_no_digitmill(listening: int) -> None:
    line = refusal("--runner=PortableRunner", f"--job_endpoint=localhost:{listening}")
    assert 'workers of a portable runner have digitmill; got "Beam\'s own container image"' in line
    assert "--environment_type=EXTERNAL" in line


@pytest.mark.parametrize("flag", ["--environment_config=mill:1", "--sdk_container_image=mill:1"])
def test_a_container_of_ones_own_is_taken(listening: int, flag: str) -> None:
    flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{listening}", flag]
    beam_options(flags, verb="score", own=())


def test_a_job_server_that_does_not_answer_is_said(closed: int) -> None:
    line = refusal(FLINK, f"--job_endpoint=localhost:{closed}")
    assert f"a job server answers at --job_endpoint; got 'localhost:{closed}'; start it first" in line


@pytest.mark.parametrize("address", ["localhost", "localhost:x", "localhost:99999"])
def test_an_address_that_is_none_is_said(address: str) -> None:
    assert "a job server answers at --job_endpoint" in refusal(FLINK, f"--job_endpoint={address}")


def test_portable_runner_is_told_where_its_job_server_is() -> None:
    assert "--job_endpoint" in refusal("--runner=PortableRunner")


@pytest.mark.parametrize("runner", ["FlinkRunner", "SparkRunner"])
def test_without_java_a_job_server_cannot_run(
    runner: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refusal(f"--runner={runner}")
    assert "a job server of Flink or Spark runs on Java; got 'java'; install Java" in line


@pytest.mark.parametrize(
    ("runner", "flag"), [("Flink", "--flink_job_server_jar"), ("Spark", "--spark_job_server_jar")]
)
def test_a_jar_that_is_not_there_is_said(runner: str, flag: str, java: str, tmp_path: pathlib.Path) -> None:
    missing = tmp_path / "missing.jar"
    line = refusal(f"--runner={runner}Runner", java, f"{flag}={missing}")
    assert f"the job server of Flink or Spark is a jar of Beam's; got {str(missing)!r}" in line
    assert f"name the file by {flag}" in line


@pytest.mark.parametrize("runner", ["Flink", "Spark"])
def test_a_jar_that_cannot_be_fetched_is_said(
    runner: str, java: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, closed: int
) -> None:
    nowhere = f"http://127.0.0.1:{closed}"
    found = classmethod(lambda *_, **__: f"{nowhere}/beam-runners-job-server.jar")
    monkeypatch.setattr(JavaJarServer, "path_to_beam_jar", found)
    line = refusal(f"--runner={runner}Runner", java, f"--jar_cache_dir={tmp_path / 'jars'}")
    assert f"got 'no --{runner.lower()}_job_server_jar'" in line
    assert "stage the jar at" in line


def test_a_jar_that_is_there_is_taken(java: str, jar: str) -> None:
    beam_options([FLINK, java, jar], verb="score", own=())


def test_a_cluster_of_the_named_version_is_taken(java: str, jar: str) -> None:
    with job_manager(b'{"flink-version": "1.20.3"}') as port:
        flags = [FLINK, java, jar, f"--flink_master=localhost:{port}", "--flink_version=1.20"]
        pool = ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
        beam_options([*flags, *pool], verb="score", own=())


@pytest.mark.parametrize(
    ("there", "remedy"),
    [
        ("1.20.3", "give --flink_version=1.20"),
        ("1.14.6", "use a cluster of a version that Beam runs on: 1.19, 1.20, 2.0"),
    ],
)
def test_a_cluster_of_another_version_is_refused(there: str, remedy: str, java: str, jar: str) -> None:
    with job_manager(json.dumps({"flink-version": there}).encode()) as port:
        line = refusal(FLINK, java, jar, f"--flink_master=localhost:{port}", "--flink_version=1.19")
    assert f"--flink_version is the cluster's; got '1.19, {there} there'; {remedy}" in line


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]"])
def test_what_is_no_job_manager_is_said(answer: bytes, java: str, jar: str) -> None:
    with job_manager(answer) as port:
        line = refusal(FLINK, java, jar, f"--flink_master=localhost:{port}")
    assert "a Flink job manager answers at --flink_master" in line


def test_a_job_manager_that_does_not_answer_is_said(java: str, jar: str, closed: int) -> None:
    line = refusal(FLINK, java, jar, f"--flink_master=localhost:{closed}")
    assert f"got 'http://localhost:{closed}'" in line


def test_workers_in_the_launcher_are_beyond_a_clusters_reach(java: str, jar: str) -> None:
    with job_manager(b'{"flink-version": "1.20.3"}') as port:
        master = [f"--flink_master=localhost:{port}", "--flink_version=1.20"]
        line = refusal(FLINK, java, jar, *master, "--environment_type=LOOPBACK")
    assert "LOOPBACK means workers in the launcher" in line
