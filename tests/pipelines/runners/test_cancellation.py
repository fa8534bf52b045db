"""Cancelling a job when the launcher is interrupted; on Flink, against a stand-in for its REST service."""

import contextlib
import http.server
import json
import logging
import threading
import types
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.runners import cancellation
from pipelines.runners.cancellation import cancel_on_interrupt

FLINK = "--runner=FlinkRunner"


@contextlib.contextmanager
def job_manager(jobs: Sequence[tuple[str, str, str]], status: int = 202) -> Iterator[tuple[str, list[str]]]:
    """Yield its address, and the paths of what it was asked to change."""
    requests: list[str] = []
    overview = {"jobs": [{"jid": jid, "name": name, "state": state} for jid, name, state in jobs]}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, json.dumps(overview).encode())

        def do_PATCH(self) -> None:
            requests.append(self.path)
            self.answer(status, b"{}")

        def answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"localhost:{server.server_address[1]}", requests
        server.shutdown()
        thread.join()


def stopped(*flags: str, jobs: Any = None) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(list(flags)))
    # What a runner has as soon as a job runs: a number, and the job service that gave it.
    pipeline.result = types.SimpleNamespace(_job_id="nightly_7-7", _job_service=types.SimpleNamespace())
    if jobs is not None:
        pipeline.result._job_service._jobs = jobs
    with pytest.raises(KeyboardInterrupt), cancel_on_interrupt(pipeline):
        raise KeyboardInterrupt


def test_the_running_job_of_that_name_is_cancelled() -> None:
    jobs = [("a", "nightly", "FINISHED"), ("b", "nightly", "RUNNING"), ("c", "other", "RUNNING")]
    with job_manager(jobs) as (address, requests):
        stopped(FLINK, f"--flink_master={address}")
    assert requests == ["/v1/jobs/b?mode=cancel"]


def test_a_job_sent_as_one_jar_is_cancelled_by_its_id() -> None:
    with job_manager([]) as (address, requests):
        stopped(
            FLINK, f"--flink_master={address}", jobs={"nightly_7-7": types.SimpleNamespace(_flink_job_id="d")}
        )
    assert requests == ["/v1/jobs/d?mode=cancel"]


def test_a_silent_job_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "ANSWER_SECONDS", 0.01)
    pipeline, over = beam.Pipeline(options=PipelineOptions([])), threading.Event()
    pipeline.result = types.SimpleNamespace(cancel=over.wait)
    with pytest.raises(KeyboardInterrupt), cancel_on_interrupt(pipeline):
        raise KeyboardInterrupt
    over.set()


def test_an_ended_job_is_not_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    with job_manager([("a", "nightly", "CANCELED")]) as (address, requests):
        stopped(FLINK, f"--flink_master={address}")
    assert requests == []
    assert not caplog.records


def test_a_failed_cancellation_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with job_manager([("a", "nightly", "RUNNING")], status=500) as (address, _):
        stopped(FLINK, f"--flink_master={address}")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "may still run at http://localhost" in record.message


def test_without_a_job_nothing_is_cancelled_on_flink() -> None:
    with job_manager([("a", "nightly", "RUNNING")]) as (address, requests):
        pipeline = beam.Pipeline(options=PipelineOptions([FLINK, f"--flink_master={address}"]))
        with pytest.raises(KeyboardInterrupt), cancel_on_interrupt(pipeline):
            raise KeyboardInterrupt
    assert requests == []


@pytest.mark.parametrize("runner", ["PrismRunner", "SparkRunner", "FnApiRunner"])
def test_other_runners_are_left_alone(runner: str) -> None:
    with job_manager([("a", "nightly", "RUNNING")]) as (address, requests):
        stopped(f"--runner={runner}", f"--flink_master={address}")
    assert requests == []


def test_a_cluster_started_by_the_job_server_needs_no_cancelling() -> None:
    stopped(FLINK)


class Gone(grpc.RpcError):
    """A job server that is gone."""


class Result:
    def __init__(self, error: Exception | None = None) -> None:
        self.cancelled = 0
        self.error = error

    def cancel(self) -> None:
        self.cancelled += 1
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [None, Gone(), NotImplementedError(), RuntimeError("done already")])
def test_an_interrupted_launcher_cancels_its_job(error: Exception | None) -> None:
    pipeline = beam.Pipeline()
    pipeline.result = Result(error)
    with pytest.raises(KeyboardInterrupt), cancel_on_interrupt(pipeline):
        raise KeyboardInterrupt
    assert pipeline.result.cancelled == 1


def test_without_a_job_an_interrupt_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt), cancel_on_interrupt(beam.Pipeline()):
        raise KeyboardInterrupt


def test_a_failed_job_is_not_cancelled() -> None:
    pipeline = beam.Pipeline()
    pipeline.result = Result()
    with pytest.raises(RuntimeError), cancel_on_interrupt(pipeline):
        raise RuntimeError
    assert pipeline.result.cancelled == 0
