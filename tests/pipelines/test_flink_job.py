"""Cancelling a job on a Flink cluster, against a job manager's REST service as far as that goes."""

import contextlib
import http.server
import json
import logging
import threading
from collections.abc import Iterator, Sequence

import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines.flink_job import taken_back

NAMED = ["--runner=FlinkRunner", "--job_name=nightly"]


@contextlib.contextmanager
def job_manager(jobs: Sequence[tuple[str, str, str]], status: int = 202) -> Iterator[tuple[str, list[str]]]:
    """Yields its address, and the paths of what it was asked to change."""
    asked: list[str] = []
    overview = {"jobs": [{"jid": jid, "name": name, "state": state} for jid, name, state in jobs]}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, json.dumps(overview).encode())

        def do_PATCH(self) -> None:
            asked.append(self.path)
            self.answer(status, b"{}")

        def answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"localhost:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


def stopped(*flags: str) -> None:
    with pytest.raises(KeyboardInterrupt), taken_back(PipelineOptions(list(flags))):
        raise KeyboardInterrupt


def test_the_running_job_of_the_name_is_cancelled() -> None:
    jobs = [("a", "nightly", "FINISHED"), ("b", "nightly", "RUNNING"), ("c", "other", "RUNNING")]
    with job_manager(jobs) as (address, asked):
        stopped(*NAMED, f"--flink_master={address}")
    assert asked == ["/v1/jobs/b?mode=cancel"]


def test_of_two_jobs_of_a_name_none_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    with job_manager([("a", "nightly", "RUNNING"), ("b", "nightly", "RUNNING")]) as (address, asked):
        stopped(*NAMED, f"--flink_master={address}")
    assert asked == []
    assert "2 jobs at http://localhost" in caplog.text


def test_a_job_that_is_not_there_any_more_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    with job_manager([("a", "nightly", "CANCELED")]) as (address, asked):
        stopped(*NAMED, f"--flink_master={address}")
    assert asked == []
    assert not caplog.records


def test_what_cannot_be_cancelled_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with job_manager([("a", "nightly", "RUNNING")], status=500) as (address, _):
        stopped(*NAMED, f"--flink_master={address}")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "the job 'nightly' could not be cancelled, and may go on at http://localhost" in record.message


@pytest.mark.parametrize(
    "runner", ["FlinkRunner", "apache_beam.runners.portability.flink_runner.FlinkRunner"]
)
def test_a_job_without_a_name_gets_one_of_its_own(runner: str) -> None:
    names = []
    for _ in range(2):
        options = PipelineOptions([f"--runner={runner}", "--flink_master=localhost:8081"])
        with taken_back(options):
            names.append(options.view_as(GoogleCloudOptions).job_name)
    assert all(name.startswith("digitmill-") for name in names)
    assert names[0] != names[1]


@pytest.mark.parametrize(
    "flags",
    [
        ["--runner=FlinkRunner"],
        ["--runner=PrismRunner"],
        ["--runner=DataflowRunner", "--flink_master=there:1"],
    ],
)
def test_other_runners_are_left_alone(flags: list[str]) -> None:
    options = PipelineOptions(flags)
    stopped(*flags)
    with taken_back(options):
        assert options.view_as(GoogleCloudOptions).job_name is None
