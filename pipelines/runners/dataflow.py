"""Completes and checks the flags of a run on Dataflow before anything is started."""

import pathlib
import re
from collections.abc import Sequence
from typing import Final

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator

from digitmill.extras import require
from schemas.errors import ExitCode, JobFailedError, UserError

RUNNER: Final = "DataflowRunner"
_GCS: Final = "gs://"

_LOCK: Final = "deploy/locks/launcher.txt"
"""Versions and hashes of what scoring needs, in a checkout."""

_DISK_GB: Final = 30
"""Disk of a worker. Dataflow's default is 250 GB, but this job keeps pixels in memory."""


class TemplateMadeError(JobFailedError):
    """A template was made, which runs elsewhere; this process has succeeded."""

    code = ExitCode.OK


def complete_flags(flags: Sequence[str], *, inputs: Sequence[str], output: str) -> Sequence[str]:
    """Complete a run's Beam flags for Dataflow; return them unchanged for other runners.

    Args:
        flags: flags of the command line.
        inputs: paths and URIs that the workers read.
        output: the run's folder.

    Raises:
        UserError: when workers would not have digitmill or could not reach inputs or output, or when project
            or credentials are missing.
    """
    given = PipelineOptions(list(flags))
    if given.view_as(StandardOptions).runner != RUNNER:
        return flags
    require("google.cloud.dataflow", wanted=f"--runner={RUNNER}")
    _check_places(inputs, output)
    _check_package(given)
    _check_account(given.view_as(GoogleCloudOptions))
    cloud = given.view_as(GoogleCloudOptions)
    more = []
    if cloud.temp_location is None and cloud.staging_location is None:
        # By default, Beam would create a bucket.
        bucket = output.removeprefix(_GCS).partition("/")[0]
        more.append(f"--temp_location={_GCS}{bucket}/digitmill-temp")
    if given.view_as(WorkerOptions).disk_size_gb is None:
        more.append(f"--disk_size_gb={_DISK_GB}")
    return (*flags, *more, *_locked_requirements(given.view_as(SetupOptions)))


def _locked_requirements(setup: SetupOptions) -> list[str]:
    """Return flags by which workers install a checkout's dependencies from its lock, before itself."""
    if setup.setup_file is None or setup.requirements_file is not None:
        return []
    lock = pathlib.Path(setup.setup_file).parent / _LOCK
    if not lock.is_file():
        return []
    # Beam's cache of packages is filled by lines, which a requirement with hashes has several of.
    return [f"--requirements_file={lock}", "--requirements_cache=skip"]


def makes_template(options: PipelineOptions) -> bool:
    """Whether the options make a template instead of running a job, as in a Flex Template's launcher."""
    return bool(options.view_as(GoogleCloudOptions).template_location)


def _check_places(inputs: Sequence[str], output: str) -> None:
    if not output.startswith(_GCS):
        raise UserError("Dataflow cannot write to this output", value=output, hint="name a folder in gs://")
    for given in inputs:
        if "://" not in given or given.startswith("file:"):
            raise UserError(
                "Dataflow workers cannot read a local input", value=given, hint="copy it to gs:// first"
            )


def _check_package(given: PipelineOptions) -> None:
    setup, worker = given.view_as(SetupOptions), given.view_as(WorkerOptions)
    if setup.save_main_session:
        raise UserError(
            "unsupported flag",
            value="--save_main_session",
            hint="leave it out: workers import digitmill",
        )
    if not (setup.setup_file or setup.extra_packages or worker.sdk_container_image):
        raise UserError(
            "Dataflow workers would lack digitmill",
            value=f"--runner={RUNNER}",
            hint="give --setup_file ./setup.py, or --sdk_container_image with deploy/dataflow's image",
        )


def _check_account(cloud: GoogleCloudOptions) -> None:
    """Check what Beam would only notice after the bucket, and report at length."""
    if not re.fullmatch(PipelineOptionsValidator.PROJECT_ID_PATTERN, cloud.project or ""):
        raise UserError(
            "--project is not the ID of a Google Cloud project",
            value=cloud.project or "",
            hint="give the ID, such as my-project-1, instead of the title or number",
        )
    from digitmill.storage.object_stores.google import credentials  # imports Google's clients

    if not cloud.no_auth and credentials() is None:
        raise UserError(
            "no Google Cloud credentials for Dataflow",
            value=cloud.project,
            hint="run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
        )


def exit_after_template(options: PipelineOptions, command: Sequence[str] | str) -> None:
    """End a process that has made a template.

    Raises:
        TemplateMadeError: with the command that makes the reports once the job is done.
    """
    if makes_template(options):
        raise TemplateMadeError(f"The template is made. Once its job is done, make the reports: {command}")
