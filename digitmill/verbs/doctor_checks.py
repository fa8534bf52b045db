"""The checks of `digitmill doctor`, each with what to do where something that jobs need is missing."""

import dataclasses
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from digitmill import extras, native_log
from schemas.errors import StorageError, UserError

OK: Final = "ok"
NOTE: Final = "note"
FAULT: Final = "fault"

_MIN_FREE_BYTES: Final = 2 * 10**9
"""Enough for a training run with its checkpoints, or for the predictions of a night."""

PRISM: Final = "github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0"
"""Go package of the Prism of this Beam version, written out because importing Beam is slow."""

_PATIENCE_SECONDS: Final = 20.0
"""A doctor says soon that a store does not answer."""

_DIGITS: Final = 20
_MIN_RIGHT: Final = 18
"""Of `_DIGITS`; a model that gets fewer right is damaged, or was trained on other digits."""


@dataclasses.dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        state: `ok`, `fault`, or `note` when only some jobs need what is missing.
        remedy: what to do; empty where all is well.
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def run_checks(places: Sequence[str], *, model: str, write: bool) -> Iterator[Check]:
    """Run every check, yielding each result as it comes."""
    yield check_python()
    yield from check_libraries()
    yield check_training()
    yield check_gpus()
    for folder in dict.fromkeys((os.getcwd(), tempfile.gettempdir())):
        yield check_disk(pathlib.Path(folder))
    yield check_credentials()
    yield from check_runners()
    yield check_formats()
    for place in places:
        # A new output folder is empty.
        empty = write and _is_empty(place)
        yield Check("read", OK, f"{place} holds nothing yet") if empty else check_reading(place)
        if write:
            yield check_writing(place)
    yield check_scoring(model)


def check_python() -> Check:
    """Check the versions of Python and digitmill."""
    version = ".".join(map(str, sys.version_info[:3]))
    found = f"digitmill {_version('digitmill') or 'not installed'}, Python {version}"
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return Check("versions", FAULT, found, "install digitmill for Python 3.11 to 3.13")
    return Check("versions", OK, found)


def check_libraries(wanted: Sequence[str] | None = None) -> Iterator[Check]:
    """Compare installed distributions with requirements as in pyproject.toml, digitmill's own by default."""
    from packaging.requirements import Requirement

    if wanted is None:
        wanted = importlib.metadata.requires("digitmill") or [] if _version("digitmill") else []
    required = [requirement for requirement in map(Requirement, wanted) if _applies(requirement.marker)]
    unmet = [
        need for need in required if not need.specifier.contains(_version(need.name) or "0", prereleases=True)
    ]
    for need in unmet:
        found = f"{need.name} {_version(need.name) or 'is not installed'}, {need.specifier} is required"
        yield Check("libraries", FAULT, found, f"pip install '{need.name}{need.specifier}'")
    if not unmet:
        shown = ("apache-beam", "ai-edge-litert", "opencv-python-headless")
        listed = ", ".join(f"{name} {_version(name)}" for name in shown if _version(name))
        yield Check("libraries", OK, f"{listed}; all {len(required)} requirements are met")


def _applies(marker: object) -> bool:
    return marker is None or marker.evaluate({"extra": ""})  # type: ignore[attr-defined]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_training() -> Check:
    """Check for TensorFlow, without which only scoring works."""
    if extras.is_installed("tensorflow"):
        return Check("training", OK, f"TensorFlow {_version('tensorflow')}, Keras {_version('keras')}")
    missing = "TensorFlow is not installed: scoring works, training does not"
    return Check("training", NOTE, missing, extras.install_line("tensorflow"))


def check_gpus() -> Check:
    """Check that TensorFlow sees every GPU of the machine."""
    from digitmill.engines.engine_choice import this_machine

    machine = this_machine()
    if not machine.devices:
        return Check("GPUs", OK, "none: training and scoring run on the CPU")
    found = f"{machine.devices} in the machine, TensorFlow sees {machine.gpus}"
    if machine.gpus < machine.devices:
        remedy = "pip install 'digitmill[gpu]', and compare the driver by nvidia-smi"
        return Check("GPUs", FAULT if machine.tensorflow else NOTE, found, remedy)
    return Check("GPUs", OK, found)


def check_disk(folder: pathlib.Path) -> Check:
    """Check that a folder is writable and its disk has free space."""
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:,.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Check("disk", NOTE, f"{folder} cannot be written to", "give --output elsewhere")
    if free < _MIN_FREE_BYTES:
        return Check("disk", NOTE, found, "make room, or write to another disk or a bucket")
    return Check("disk", OK, found)


def check_credentials() -> Check:
    """Check for Google application default credentials."""
    from digitmill.storage.object_stores.uris import EMULATOR

    if not extras.is_installed("google.cloud.storage"):
        missing = "Google's clients are not installed: gs:// cannot be read or written"
        return Check("credentials", NOTE, missing, extras.install_line("google.cloud.storage"))
    from digitmill.storage.object_stores import google

    emulator = os.environ.get(EMULATOR)
    if emulator:
        return Check("credentials", OK, f"none are needed for the emulator at {emulator}")
    # Outside Google Cloud the metadata server does not answer: one short attempt.
    os.environ.setdefault("GCE_METADATA_TIMEOUT", "1")
    os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "1")
    if google.credentials() is None:
        remedy = "gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
        return Check("credentials", NOTE, "none for gs://: only public buckets can be read", remedy)
    return Check("credentials", OK, f"for gs://, {type(google.credentials()).__name__}")


def check_runners() -> Iterator[Check]:
    """Check which Beam runners this machine can start."""
    yield Check("runner", OK, "DirectRunner, on this machine")
    dataflow = extras.is_installed("google.cloud.dataflow")
    prism, java = shutil.which("prism"), _java()
    yield _runner(
        "DataflowRunner; it also needs --project, --region and --temp_location" if dataflow else None,
        missing="DataflowRunner: its client is not installed",
        remedy=extras.install_line("google.cloud.dataflow"),
    )
    yield _runner(
        prism and f"PrismRunner: --prism_location={prism}",
        missing="PrismRunner: there is no program prism on the PATH",
        remedy=f"go install {PRISM}, and name the program by --prism_location",
    )
    yield _runner(
        java and f"FlinkRunner, SparkRunner: {java}",
        missing="FlinkRunner, SparkRunner: there is no java to start a job server",
        remedy="install Java 11 or 17, or use a job server that runs elsewhere",
    )


def check_formats() -> Check:
    """Check whether HEIC photos and pages of PDF can be decoded; all other formats need nothing more."""
    missing = [name for name in extras.MODULES["formats"] if not extras.is_installed(name)]
    if not missing:
        return Check("formats", OK, "HEIC and PDF, too")
    remedy = f"{extras.install_line(missing[0])}, if there are any"
    return Check("formats", NOTE, f"HEIC and PDF cannot be read, for lack of {' and '.join(missing)}", remedy)


def _runner(found: str | None, *, missing: str, remedy: str) -> Check:
    return Check("runner", OK, found) if found else Check("runner", NOTE, missing, remedy)


def _java() -> str | None:
    java = shutil.which("java")
    if java is None:
        return None
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stderr.partition("\n")[0]


def _is_empty(place: str) -> bool:
    """Whether a place can be listed and holds no file."""
    from digitmill.storage import open_folder
    from digitmill.storage.interface import LOCK

    try:
        return all(name == LOCK for name in open_folder(place).walk())
    except (UserError, StorageError):
        return False


def check_reading(place: str) -> Check:
    """List a place and read one file of it."""
    from digitmill.storage import ImageReader, ReadLimits, list_place

    def probe() -> str:
        image = next(iter(list_place(place)), None)
        if image is None:
            raise UserError("no files found", value=place, hint="check the name")
        with ImageReader(ReadLimits(retry_seconds=_PATIENCE_SECONDS)) as reader:
            (content,) = reader.read([image])
        if not isinstance(content, bytes):
            raise UserError("cannot read a listed file", value=image.uri, hint=str(content))
        return f"{place} can be listed and read: {len(content):,} bytes of {image.uri}"

    return _run_probe("read", probe)


def check_writing(place: str) -> Check:
    """Write a small file to a place, read it back and delete it."""
    from digitmill.storage import open_folder

    def probe() -> str:
        folder, new = (
            open_folder(place, retry_seconds=_PATIENCE_SECONDS),
            "://" not in place and not os.path.exists(place),
        )
        folder.claim()
        name, data = f"digitmill-doctor-{uuid.uuid4().hex}", b"digitmill"
        folder.write_once(name, data)
        try:
            if folder.read(name) != data:
                raise UserError(
                    "a file read back differs from what was written",
                    value=folder.at(name),
                    hint="check the storage",
                )
        finally:
            folder.delete(name)
            if new:
                os.rmdir(place)
        return f"{place} can be written to and deleted from"

    return _run_probe("write", probe)


def _run_probe(name: str, probe: Callable[[], str]) -> Check:
    try:
        return Check(name, OK, probe())
    except (UserError, StorageError) as error:
        return Check(name, FAULT, f"{error.error}: {error.value!r}", error.hint)


def check_scoring(model: str) -> Check:
    """Score digits of the embedded sample, from PNG bytes to predictions."""

    def probe() -> str:
        right, engine = _score(model)
        found = f"{right} of {_DIGITS} sample digits are right, by {engine}"
        if right < _MIN_RIGHT:
            raise UserError(
                "the model fails on the sample", value=found, hint="train a new one, or give another --model"
            )
        return found

    return _run_probe("scoring", probe)


def _score(model: str) -> tuple[int, str]:
    import cv2

    from digitmill.engines.bundle_loader import open_bundle
    from digitmill.imaging.batch import decode_batch
    from trainer.data.sources import embedded_sample

    with native_log.quiet_stderr():
        bundle = open_bundle(model)
        engine = bundle.load()
    test = embedded_sample.digits().test
    chosen = range(0, len(test.labels), len(test.labels) // _DIGITS)[:_DIGITS]
    files = [cv2.imencode(".png", test.images[position])[1].tobytes() for position in chosen]
    predicted = engine.probabilities(decode_batch(files, len(files)).digits).argmax(axis=1)
    return int((predicted == test.labels[list(chosen)]).sum()), str(bundle.engine.kind)
