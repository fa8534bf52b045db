"""Checks a portable runner's job server, cluster and workers before a run begins.

Beam itself checks only after the run has begun its output, or waits minutes or forever for a missing service.
"""

import copy
import errno
import os
import re
import shutil
import socket
from typing import Any, Final

import grpc
import requests
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES, FlinkJarJobServer, FlinkRunner
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.portability.prism_runner import PrismJobServer, PrismRunner
from apache_beam.runners.portability.spark_runner import (
    LOCAL_MASTER_PATTERN,
    SparkJarJobServer,
    SparkRunner,
)

from schemas.errors import UserError
from schemas.versioned import parse_json

ANSWER_SECONDS: Final = 10.0
"""Timeout of requests, in seconds."""


def check_portable(runner: PortableRunner, options: PipelineOptions) -> None:
    """Check everything that can be checked from the launcher, without changing anything.

    Raises:
        UserError: for the first requirement that is not met.
    """
    if options.view_as(StandardOptions).no_wait_until_finish:
        raise UserError(
            "unsupported flag",
            value="--no_wait_until_finish",
            hint="leave it out: the launcher must wait for the job",
        )
    portable = options.view_as(PortableOptions)
    local = _is_local(runner, options)
    if portable.job_endpoint:
        _check_reachable(portable.job_endpoint, "no job server answers at --job_endpoint", "start it first")
        _check_speaks_grpc(portable.job_endpoint)
    else:
        _check_ports(options.view_as(JobServerOptions))
        _check_job_server(runner, options)
    _check_workers(portable, options, local=local)


def _is_local(runner: PortableRunner, options: PipelineOptions) -> bool:
    """Whether the workers run on this machine."""
    if options.view_as(PortableOptions).job_endpoint:
        return False
    if isinstance(runner, FlinkRunner):
        return options.view_as(FlinkRunnerOptions).flink_master in MAGIC_HOST_NAMES
    if isinstance(runner, SparkRunner):
        return bool(re.match(LOCAL_MASTER_PATTERN, options.view_as(SparkRunnerOptions).spark_master_url))
    return isinstance(runner, PrismRunner)


def _check_job_server(runner: PortableRunner, options: PipelineOptions) -> None:
    if isinstance(runner, FlinkRunner):
        _check_flink(options)
    elif isinstance(runner, SparkRunner):
        # Beam modifies the options that a job server is made from.
        _check_jar(SparkJarJobServer(copy.deepcopy(options)), options, flag="--spark_job_server_jar")
    elif isinstance(runner, PrismRunner):
        _check_prism(options)
    else:
        raise UserError("no job server for this runner", value="PortableRunner", hint="give --job_endpoint")


def _check_flink(options: PipelineOptions) -> None:
    flink = options.view_as(FlinkRunnerOptions)
    if flink.flink_master not in MAGIC_HOST_NAMES:
        _check_flink_version(FlinkRunner.add_http_scheme(flink.flink_master), flink.flink_version)
    _check_jar(FlinkJarJobServer(copy.deepcopy(options)), options, flag="--flink_job_server_jar")


def _check_flink_version(master: str, wanted: str) -> None:
    try:
        answer = requests.get(f"{master}/v1/config", timeout=ANSWER_SECONDS)
        version = answer.json()["flink-version"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise UserError(
            "no Flink job manager answers at --flink_master",
            value=master,
            hint=f"give the address of its REST service, such as localhost:8081: {_one_line(error)}",
        ) from error
    found = ".".join(version.split(".")[:2])
    if found == wanted:
        return
    known = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    hint = (
        f"give --flink_version={found}"
        if found in known
        else f"use a cluster of a version that Beam runs on: {', '.join(known)}"
    )
    raise UserError(f"--flink_version differs from the cluster's version {version}", value=wanted, hint=hint)


def _check_jar(server: Any, options: PipelineOptions, *, flag: str) -> None:
    """Download the job server's jar, once, to where Beam looks for it."""
    job_server = options.view_as(JobServerOptions)
    if shutil.which(job_server.job_server_java_launcher) is None:
        raise UserError(
            "Java not found; the job servers of Flink and Spark need it",
            value=job_server.job_server_java_launcher,
            hint="install Java 11 or 17, name it by --job_server_java_launcher, or give --job_endpoint",
        )
    try:
        server.local_jar(server.path_to_jar(), job_server.jar_cache_dir)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            "cannot fetch the jar of the job server",
            value=server._jar or f"no {flag}",
            hint=f"name the file by {flag}, or give --job_endpoint: {_one_line(error)}",
        ) from error


def _check_prism(options: PipelineOptions) -> None:
    try:
        program = PrismJobServer(options).path_to_binary()
        executable = os.access(program, os.X_OK) and os.path.isfile(program)
    except (OSError, ValueError, RuntimeError) as error:
        raise _no_prism("none", _one_line(error)) from error
    if not executable:
        raise _no_prism(program, "it is not executable")


def _no_prism(value: str, why: str) -> UserError:
    return UserError(
        "PrismRunner needs the program prism",
        value=value,
        hint="build it by `go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0` "
        f"and name it by --prism_location: {why}",
    )


def _check_ports(job_server: JobServerOptions) -> None:
    for flag in ("job_port", "artifact_port", "expansion_port"):
        port = getattr(job_server, flag)
        with socket.socket() as probe:
            # Like servers do: a port with lingering connections counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError) as error:
                why = "in use" if getattr(error, "errno", None) == errno.EADDRINUSE else _one_line(error)
                raise UserError(
                    f"cannot use the port of --{flag} ({why})", value=port, hint="leave it out to find one"
                ) from error


def _check_workers(portable: PortableOptions, options: PipelineOptions, *, local: bool) -> None:
    kind = (portable.environment_type or ("LOOPBACK" if local else "DOCKER")).upper()
    if kind == "DOCKER":
        _check_image(portable, options)
    elif kind == "EXTERNAL":
        address = _external_address(portable)
        if local:
            _check_reachable(
                address,
                "no worker pool answers at --environment_config",
                "start one there: python -m apache_beam.runners.worker.worker_pool_main --service_port=PORT",
            )
    elif kind == "LOOPBACK" and not local and not portable.job_endpoint:
        raise UserError(
            "a cluster cannot reach workers in the launcher",
            value="--environment_type=LOOPBACK",
            hint="give --environment_type=EXTERNAL, and start a worker pool next to each task manager",
        )


def _check_image(portable: PortableOptions, options: PipelineOptions) -> None:
    image = (
        portable.environment_config
        or options.view_as(WorkerOptions).sdk_container_image
        or portable.lookup_environment_option("docker_container_image")
    )
    if not image:
        raise UserError(
            "the workers' container image lacks digitmill",
            value="Beam's own image",
            hint="give --environment_type=EXTERNAL with a worker pool, or --environment_config=IMAGE",
        )


def _external_address(portable: PortableOptions) -> str:
    config = portable.environment_config or portable.lookup_environment_option("external_service_address")
    if config and config.lstrip().startswith("{"):
        try:
            config = parse_json(config)["url"]
        except (ValueError, KeyError, TypeError):
            config = None
    if not config:
        raise UserError(
            "EXTERNAL workers need the address of a worker pool",
            value=f"--environment_config={portable.environment_config}",
            hint="give --environment_config=HOST:PORT of the pool next to each task manager",
        )
    return config


def _check_reachable(address: str, problem: str, hint: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(problem, value=address, hint=f"{hint}: {_one_line(error)}") from error


def _check_speaks_grpc(endpoint: str) -> None:
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise UserError(
                f"the server at --job_endpoint does not answer within {ANSWER_SECONDS:g} s",
                value=endpoint,
                hint="check the address, or restart the job server",
            ) from error


def _one_line(error: BaseException) -> str:
    return " ".join((getattr(error, "strerror", None) or str(error)).split())
