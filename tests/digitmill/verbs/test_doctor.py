import importlib.metadata
import json
import pathlib
import shutil
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from digitmill import cli, extras
from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines import engine_choice
from digitmill.engines.engine_choice import Machine
from digitmill.storage.object_stores import google
from digitmill.verbs import doctor_checks
from digitmill.verbs.doctor_checks import FAULT, NOTE, OK
from digitmill.verbs.sample import write_sample
from schemas.errors import ExitCode
from tests.gcs_emulator import Bucket


def test_what_is_installed_is_what_is_asked_for():
    assert [check.state for check in doctor_checks.check_libraries()] == [OK]


@pytest.mark.parametrize(
    ("wanted", "remedy"),
    [("numpy<1", "pip install 'numpy<1'"), ("no-such-distribution>=2", "no-such-distribution>=2")],
)
def test_what_is_not_is_at_fault_and_the_remedy_installs_it(wanted, remedy):
    (found,) = doctor_checks.check_libraries([wanted, "click>=8"])
    assert found.state == FAULT
    assert remedy in found.remedy


def test_extras_are_not_asked_for():
    (found,) = doctor_checks.check_libraries(["no-such-distribution>=2; extra == 'gpu'"])
    assert found.state == OK


@pytest.mark.parametrize(
    ("tensorflow", "devices", "seen", "state"),
    [
        (True, 0, 0, OK),
        (True, 2, 2, OK),
        (True, 2, 0, FAULT),
        (True, 2, 1, FAULT),
        (False, 2, 0, NOTE),
    ],
)
def test_a_gpu_that_tensorflow_does_not_see_is_a_fault(tensorflow, devices, seen, state, monkeypatch):
    monkeypatch.setattr(engine_choice, "this_machine", lambda: Machine(tensorflow, seen, devices))
    found = doctor_checks.check_gpus()
    assert found.state == state
    assert ("digitmill[gpu]" in found.remedy) == (state != OK)


def test_without_the_extras_only_what_they_are_for_is_noted(monkeypatch):
    assert doctor_checks.check_training().state == OK
    monkeypatch.setattr(extras, "is_installed", lambda module: False)
    for check, extra in (
        (doctor_checks.check_training(), "train"),
        (doctor_checks.check_credentials(), "gcp"),
        (list(doctor_checks.check_runners())[1], "gcp"),
    ):
        assert (check.state, check.remedy) == (NOTE, f"pip install 'digitmill[{extra}]'")


def test_a_full_disk_is_noted(tmp_path, monkeypatch):
    assert doctor_checks.check_disk(tmp_path).state == OK
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(doctor_checks.shutil, "disk_usage", lambda folder: usage)
    assert doctor_checks.check_disk(tmp_path).state == NOTE


def test_missing_credentials_are_noted_and_an_emulator_needs_none(monkeypatch):
    monkeypatch.delenv(google.EMULATOR, raising=False)
    monkeypatch.setattr(google, "credentials", lambda: None)
    assert doctor_checks.check_credentials().state == NOTE
    monkeypatch.setenv(google.EMULATOR, "http://localhost:1")
    assert doctor_checks.check_credentials().state == OK


def test_without_java_and_prism_their_runners_are_noted(monkeypatch):
    monkeypatch.setattr(doctor_checks.shutil, "which", lambda name: None)
    assert [found.state for found in doctor_checks.check_runners()] == [OK, OK, NOTE, NOTE]


def test_where_prism_is_the_flag_that_names_it_is_said(monkeypatch):
    monkeypatch.setattr(
        doctor_checks.shutil, "which", lambda name: f"/bin/{name}" if name == "prism" else None
    )
    assert ("PrismRunner: --prism_location=/bin/prism", OK) in [
        (found.found, found.state) for found in doctor_checks.check_runners()
    ]


def test_prism_is_the_one_of_this_version_of_beam():
    assert doctor_checks.PRISM.endswith(f"@v{importlib.metadata.version('apache-beam')}")


def place_checks(*places: object, write: bool) -> list[tuple[str, str]]:
    """Name and state of the checks of places."""
    found = doctor_checks.run_checks(tuple(map(str, places)), model=str(SHIPPED_MODEL), write=write)
    return [(check.name, check.state) for check in found if check.name in ("read", "write")]


def test_what_is_to_be_written_to_may_hold_nothing_yet(tmp_path, bucket: Bucket):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "new", f"{bucket.uri}/nights"):
        assert place_checks(place, write=True) == [("read", OK), ("write", OK)]
        assert place_checks(place, write=False) == [("read", FAULT)]
    bucket.put("released/.launcher.lock", b"{}")
    assert place_checks(f"{bucket.uri}/released", write=True) == [("read", OK), ("write", OK)]
    nowhere = "gs://digitmill-there-is-no-such-bucket/x"
    assert place_checks(nowhere, write=True) == [("read", FAULT), ("write", FAULT)]


def test_folders_are_read_and_written(tmp_path):
    write_sample(tmp_path / "digits", "test", number=2)
    assert doctor_checks.check_reading(str(tmp_path / "digits")).state == OK
    assert doctor_checks.check_reading(str(tmp_path / "none")).state == FAULT
    assert doctor_checks.check_writing(str(tmp_path / "new")).state == OK
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits"]
    (tmp_path / "file").write_bytes(b"")
    assert doctor_checks.check_writing(str(tmp_path / "file" / "x")).state == FAULT


def test_buckets_are_read_and_written(bucket: Bucket):
    name = bucket.uri
    assert doctor_checks.check_reading(name).state == FAULT
    assert doctor_checks.check_writing(f"{name}/nights").state == OK
    assert bucket.names() == []
    bucket.put("scans/a.png", b"abc")
    found = doctor_checks.check_reading(f"{name}/scans")
    assert (found.state, "3 bytes" in found.found) == (OK, True)
    assert doctor_checks.check_reading("gs://digitmill-there-is-no-such-bucket/x").state == FAULT


def test_a_model_scores_and_a_damaged_one_is_at_fault(tmp_path: pathlib.Path):
    assert doctor_checks.check_scoring(SHIPPED_MODEL).state == OK
    damaged = shutil.copytree(SHIPPED_MODEL, tmp_path / "model")
    (damaged / "model_int8.tflite").write_bytes(b"damaged")
    assert doctor_checks.check_scoring(damaged).state == FAULT


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Run the verb with checks that find what is given."""

    def run(*states: str, flags: tuple[str, ...] = ()) -> object:
        made = [doctor_checks.Check("disk", state, f"it is {state}", state and "mend it") for state in states]
        monkeypatch.setattr(doctor_checks, "run_checks", lambda *_, **__: iter(made))
        return CliRunner().invoke(cli.digitmill, ["doctor", *flags], standalone_mode=False)

    return run


def test_a_line_a_check_with_its_remedy_below(found):
    lines = found(OK, FAULT).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ok", "to", "fault", "to"]
    assert "to do: mend it" in lines[3]


@pytest.mark.parametrize(("states", "code"), [((OK, NOTE), ExitCode.OK), ((OK, FAULT, OK), ExitCode.CRASHED)])
def test_only_faults_fail(found, states, code):
    assert found(*states).return_value == code


def test_json_has_every_check(found):
    said = json.loads(found(OK, NOTE, flags=("--json",)).stdout)
    assert [check["state"] for check in said] == [OK, NOTE]
    assert said[1] == {"name": "disk", "state": NOTE, "found": "it is note", "remedy": "mend it"}


def test_formats_that_cannot_be_decoded_are_noted(monkeypatch):
    assert doctor_checks.check_formats().state == OK
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "pypdfium2")
    found = doctor_checks.check_formats()
    assert (found.state, found.found) == (NOTE, "HEIC and PDF cannot be read, for lack of pypdfium2")
