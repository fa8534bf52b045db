"""What `digitmill doctor` looks at, each with what to do where it is not as jobs need it."""

import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from digitmill.commands import native_log
from schemas.errors import StorageError, UserError

OK: Final = "ok"
NOTE: Final = "note"
FAULT: Final = "fault"

_LEAST_FREE: Final = 2 * 10**9
"""Bytes below which a disk is noted: a training run with its checkpoints, or a night's predictions."""

PRISM: Final = "github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0"
"""The program that fits this version of Beam, as Go names it; Beam is slow to import only to be asked."""

_DIGITS: Final = 20
_LEAST_RIGHT: Final = 18
"""Of `_DIGITS`; a model that knows fewer is damaged, or was made for other digits."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        state: `ok`, `note` where only some jobs need what is missing, or `fault`.
        found: what there is.
        remedy: what to do; empty where all is well.
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def all_checks(places: Sequence[str], *, model: str, write: bool) -> Iterator[Check]:
    """Looks at everything, one after the other.

    Args:
        places: folders and buckets to look at.
        model: folder of the bundle that scores.
        write: whether to write to the places, too.
    """
    yield python()
    yield from libraries()
    yield gpus()
    for folder in dict.fromkeys((os.getcwd(), tempfile.gettempdir())):
        yield disk(pathlib.Path(folder))
    yield credentials()
    yield from runners()
    for place in places:
        # What is to be written to may hold nothing yet.
        yield empty(place) if write and _is_empty(place) else reading(place)
        if write:
            yield writing(place)
    yield scoring(pathlib.Path(model))


def python() -> Check:
    """Looks at the interpreter and at digitmill itself."""
    version = ".".join(map(str, sys.version_info[:3]))
    found = f"digitmill {_version('digitmill') or 'not installed'}, Python {version}"
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return Check("versions", FAULT, found, "install digitmill for Python 3.11 to 3.13")
    return Check("versions", OK, found)


def libraries(wanted: Sequence[str] | None = None) -> Iterator[Check]:
    """Compares what is installed with what digitmill asks for.

    Args:
        wanted: requirements as in pyproject.toml; digitmill's own when None.
    """
    from packaging.requirements import Requirement

    if wanted is None:
        wanted = importlib.metadata.requires("digitmill") or [] if _version("digitmill") else []
    needed = [requirement for requirement in map(Requirement, wanted) if _applies(requirement.marker)]
    wrong = [
        need for need in needed if not need.specifier.contains(_version(need.name) or "0", prereleases=True)
    ]
    for need in wrong:
        found = f"{need.name} {_version(need.name) or 'is not installed'}, {need.specifier} is asked for"
        yield Check("libraries", FAULT, found, f"pip install '{need.name}{need.specifier}'")
    if not wrong:
        shown = ("tensorflow", "keras", "apache-beam", "ai-edge-litert")
        listed = ", ".join(f"{name} {_version(name)}" for name in shown if _version(name))
        yield Check("libraries", OK, f"{listed}; {len(needed)} asked for are there")


def _applies(marker: object) -> bool:
    return marker is None or marker.evaluate({"extra": ""})  # type: ignore[attr-defined]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def gpus() -> Check:
    """Looks for GPUs, and whether TensorFlow sees them."""
    from digitmill.engines.engine_choice import this_machine

    machine = this_machine()
    if not machine.devices:
        return Check("GPUs", OK, "none: training and scoring run on the CPU")
    found = f"{machine.devices} in the machine, TensorFlow sees {machine.gpus}"
    if machine.gpus < machine.devices:
        return Check(
            "GPUs", FAULT, found, "pip install 'digitmill[gpu]', and compare the driver by nvidia-smi"
        )
    return Check("GPUs", OK, found)


def disk(folder: pathlib.Path) -> Check:
    """Looks at the room that is left."""
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:,.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Check("disk", NOTE, f"{folder} cannot be written to", "give --output elsewhere")
    if free < _LEAST_FREE:
        return Check("disk", NOTE, found, "make room, or write to another disk or a bucket")
    return Check("disk", OK, found)


def credentials() -> Check:
    """Looks for Google's application default credentials."""
    from digitmill.storage.object_stores import google

    emulator = os.environ.get(google.EMULATOR)
    if emulator:
        return Check("credentials", OK, f"none are needed for the emulator at {emulator}")
    # Off Google's machines its metadata server does not answer; one short try will do.
    os.environ.setdefault("GCE_METADATA_TIMEOUT", "1")
    os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "1")
    if google.credentials() is None:
        remedy = "gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
        return Check("credentials", NOTE, "none for gs://: only public buckets can be read", remedy)
    return Check("credentials", OK, f"for gs://, {type(google.credentials()).__name__}")


def runners() -> Iterator[Check]:
    """Looks at which of Beam's runners this machine can start."""
    yield Check("runner", OK, "DirectRunner, on this machine")
    if importlib.util.find_spec("google.cloud.dataflow"):
        yield Check("runner", OK, "DataflowRunner; it also needs --project, --region and --temp_location")
    else:
        remedy = "pip install 'apache-beam[gcp]'"
        yield Check("runner", NOTE, "DataflowRunner: its client is not installed", remedy)
    yield _prism()
    java = _java()
    if java is None:
        remedy = "install Java 11 or 17, or use a job server that runs elsewhere"
        yield Check(
            "runner", NOTE, "FlinkRunner, SparkRunner: there is no java to start a job server", remedy
        )
    else:
        yield Check("runner", OK, f"FlinkRunner, SparkRunner: {java}")


def _prism() -> Check:
    program = shutil.which("prism")
    if program is not None:
        return Check("runner", OK, f"PrismRunner: --prism_location={program}")
    remedy = f"go install {PRISM}, and name the program by --prism_location"
    return Check("runner", NOTE, "PrismRunner: there is no program prism on the PATH", remedy)


def _java() -> str | None:
    java = shutil.which("java")
    if java is None:
        return None
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stderr.partition("\n")[0]


def _is_empty(place: str) -> bool:
    """Whether a place is seen to hold nothing; of one that cannot be seen `reading` says more."""
    from digitmill.storage import open_folder

    try:
        return next(iter(open_folder(place).walk()), None) is None
    except (UserError, StorageError):
        return False


def empty(place: str) -> Check:
    """Says that there is nothing to read yet."""
    return Check("read", OK, f"{place} holds nothing yet")


def reading(place: str) -> Check:
    """Lists a place and reads one file of it."""
    from digitmill.storage import ImageReader, list_place

    def look() -> str:
        image = next(iter(list_place(place)), None)
        if image is None:
            raise UserError("a place to read holds a file", got=place, remedy="check the name")
        with ImageReader() as reader:
            (content,) = reader.read([image])
        if not isinstance(content, bytes):
            raise UserError("a listed file can be read", got=image.uri, remedy=str(content))
        return f"{place} can be listed and read: {len(content):,} bytes of {image.uri}"

    return _tried("read", look)


def writing(place: str) -> Check:
    """Writes a small file to a place, reads it and deletes it."""
    from digitmill.storage import open_folder

    def look() -> str:
        folder, new = open_folder(place), "://" not in place and not os.path.exists(place)
        folder.claim()
        name, data = f"digitmill-doctor-{uuid.uuid4().hex}", b"digitmill"
        folder.write_once(name, data)
        try:
            if folder.read(name) != data:
                raise UserError(
                    "a file holds what was written", got=folder.at(name), remedy="look at the store"
                )
        finally:
            folder.delete(name)
            if new:
                os.rmdir(place)
        return f"{place} can be written to and deleted from"

    return _tried("write", look)


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, OK, look())
    except (UserError, StorageError) as error:
        return Check(name, FAULT, f"{error.problem}: {error.got!r}", error.remedy)


def scoring(model: pathlib.Path) -> Check:
    """Scores digits of the embedded sample, from files' bytes to answers."""

    def look() -> str:
        right, engine = _score(model)
        found = f"{right} of {_DIGITS} sample digits are right, by {engine}"
        if right < _LEAST_RIGHT:
            raise UserError(
                "a model knows the sample's digits", got=found, remedy="train anew, or give another --model"
            )
        return found

    return _tried("scoring", look)


def _score(model: pathlib.Path) -> tuple[int, str]:
    import cv2

    from digitmill.engines.bundle_loader import open_bundle
    from digitmill.imaging.batch import decode_batch
    from trainer.data.sources import embedded_sample

    with native_log.held():
        bundle = open_bundle(model)
        engine = bundle.load()
    test = embedded_sample.digits().test
    chosen = range(0, len(test.labels), len(test.labels) // _DIGITS)[:_DIGITS]
    files = [cv2.imencode(".png", test.images[position])[1].tobytes() for position in chosen]
    answers = engine.probabilities(decode_batch(files, len(files)).digits).argmax(axis=1)
    return int((answers == test.labels[list(chosen)]).sum()), str(bundle.engine.kind)
