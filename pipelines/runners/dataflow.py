"""What a run on Dataflow needs besides its flags, and what it refuses before anything is started."""

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

from digitmill.storage.object_stores.google import credentials
from pipelines.score_options import ScoreOptions
from schemas.errors import ExitCode, JobFailedError, UserError

RUNNER: Final = "DataflowRunner"
_GCS: Final = "gs://"

_DISK_GB: Final = 30
"""Dataflow's own is 250 GB a worker, of which this job uses nothing: pixels stay in memory."""


class LaunchedError(JobFailedError):
    """A template was made and somebody else runs it: this process has nothing left to do, and is right."""

    code = ExitCode.OK


def completed(options: ScoreOptions) -> tuple[str, ...]:
    """Returns the run's Beam flags with those that a Dataflow job of this kind needs; others as they are.

    Raises:
        UserError: when workers would not have digitmill, or would not see inputs or output; when there is
            no project, or are no credentials.
    """
    given = PipelineOptions(list(options.beam_flags))
    if given.view_as(StandardOptions).runner != RUNNER:
        return options.beam_flags
    _check_places(options)
    _check_package(given)
    _check_account(given.view_as(GoogleCloudOptions))
    cloud = given.view_as(GoogleCloudOptions)
    more = []
    if cloud.temp_location is None and cloud.staging_location is None:
        # Left to itself, Beam makes a bucket.
        bucket = options.output.removeprefix(_GCS).partition("/")[0]
        more.append(f"--temp_location={_GCS}{bucket}/digitmill-temp")
    if given.view_as(WorkerOptions).disk_size_gb is None:
        more.append(f"--disk_size_gb={_DISK_GB}")
    return (*options.beam_flags, *more)


def model_base(options: PipelineOptions) -> str | None:
    """Returns where workers find models that they do not have; None where they see the launcher's files."""
    if options.view_as(StandardOptions).runner != RUNNER:
        return None
    cloud = options.view_as(GoogleCloudOptions)
    return f"{(cloud.temp_location or cloud.staging_location).rstrip('/')}/digitmill-models"


def left_to_others(options: PipelineOptions) -> bool:
    """Whether a template is made, as in the launcher of a Flex Template, and no job is waited for."""
    return bool(options.view_as(GoogleCloudOptions).template_location)


def _check_places(options: ScoreOptions) -> None:
    if not options.output.startswith(_GCS):
        raise UserError("Dataflow writes to gs://", got=options.output, remedy="name a folder of a bucket")
    for given in options.inputs:
        if "://" not in given or given.startswith("file:"):
            raise UserError(
                "Dataflow's workers read from buckets", got=given, remedy="copy it to gs:// first"
            )


def _check_package(given: PipelineOptions) -> None:
    setup, worker = given.view_as(SetupOptions), given.view_as(WorkerOptions)
    if setup.save_main_session:
        raise UserError(
            "digitmill needs no state of the launcher's main module",
            got="--save_main_session",
            remedy="leave it out: workers import digitmill",
        )
    if not (setup.setup_file or setup.extra_packages or worker.sdk_container_image):
        raise UserError(
            "Dataflow's workers have digitmill",
            got=f"--runner={RUNNER} alone",
            remedy="give --setup_file ./setup.py, or --sdk_container_image with deploy/dataflow's image",
        )


def _check_account(cloud: GoogleCloudOptions) -> None:
    """Before Beam does: it first looks at the bucket, and where it may not, it says so at length."""
    if not re.fullmatch(PipelineOptionsValidator.PROJECT_ID_PATTERN, cloud.project or ""):
        raise UserError(
            "--project is the ID of a Google Cloud project, not its title or number",
            got=cloud.project or "",
            remedy="write it as my-project-1",
        )
    if not cloud.no_auth and credentials() is None:
        raise UserError(
            "Dataflow is asked with Google's credentials",
            got="none on this machine",
            remedy="run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
        )


def check_launched(options: PipelineOptions, command: Sequence[str] | str) -> None:
    """Ends a process that has made a template.

    Raises:
        LaunchedError: with the command that makes the reports once the job is done.
    """
    if left_to_others(options):
        raise LaunchedError(f"the job is handed over; when it is done, this makes the reports: {command}")
