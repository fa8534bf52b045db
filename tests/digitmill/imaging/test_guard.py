import gc
import io
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from digitmill.imaging.batch import decode_batch
from digitmill.imaging.canonical import canonicalise
from digitmill.imaging.decode import decode_here
from digitmill.imaging.guard import GUARD, Guard, GuardError
from digitmill.imaging.headers.header import read_header
from schemas.failure import FailureCode, ImageError

FAULTY = r"""
import ctypes, os, signal, socket, sys, time
from digitmill.imaging import decoder_process

def handle(wanted, data):
    if data == b"crash":
        ctypes.string_at(0)
    if data == b"abort":
        os.abort()
    if data == b"hang":
        time.sleep(100)
    if data == b"raise":
        raise KeyError("a mistake in the decoder")
    if data == b"eat":
        bytearray(2**40)
    if data == b"be killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b"babble":
        os.write(0, b"D\0\0\0\x08nonsense")
    return decoder_process._handle(wanted, data)

decoder_process.limit_memory()
decoder_process.serve(handle, socket.socket(fileno=0))
"""


@pytest.fixture(scope="module")
def scan() -> bytes:
    file = io.BytesIO()
    pixels = np.full((60, 50), 230, np.uint8)
    pixels[10:50, 20:28] = 20
    Image.fromarray(pixels).save(file, "TIFF")
    return file.getvalue()


@pytest.fixture
def faulty():
    guard = Guard([sys.executable, "-c", FAULTY], seconds=2)
    yield guard
    guard.close()


def test_it_answers_as_this_process_would(scan: bytes) -> None:
    pixels = decode_here(scan, read_header(scan))
    np.testing.assert_array_equal(GUARD.pixels(scan), pixels)
    np.testing.assert_array_equal(GUARD.digit(scan), canonicalise(pixels))


def test_deep_and_colourful_pixels_come_whole() -> None:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (31, 17, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, exact=True)
    np.testing.assert_array_equal(GUARD.pixels(file.getvalue()), pixels[..., [2, 1, 0, 3]])


def test_an_error_is_the_images_own() -> None:
    file = io.BytesIO()
    Image.new("1", (8200, 4100)).save(file, "TIFF", compression="group4")
    with pytest.raises(ImageError, match="pixels") as caught:
        GUARD.pixels(file.getvalue())
    assert caught.value.code is FailureCode.TOO_LARGE


@pytest.mark.parametrize(
    ("data", "code", "detail"),
    [
        (b"crash", FailureCode.CORRUPT, "the decoder crashed: SIGSEGV"),
        (b"abort", FailureCode.CORRUPT, "the decoder crashed: SIGABRT"),
        (b"raise", FailureCode.CORRUPT, "the decoder crashed: exit code 1"),
        (b"babble", FailureCode.CORRUPT, "the decoder"),
        (b"hang", FailureCode.CORRUPT, "the decoder took longer than 2 s"),
        (b"eat", FailureCode.TOO_LARGE, "the decoder needs more than"),
        (b"be killed", FailureCode.TOO_LARGE, "the decoder was killed, most likely for its memory"),
    ],
)
def test_a_fault_costs_its_own_image_and_no_other(
    faulty: Guard, scan: bytes, data: bytes, code: FailureCode, detail: str
) -> None:
    before = faulty.digit(scan)
    with pytest.raises(ImageError) as caught:
        faulty.digit(data)
    assert caught.value.code is code
    assert caught.value.detail.startswith(detail)
    np.testing.assert_array_equal(faulty.digit(scan), before)


@pytest.mark.slow
def test_threads_take_turns(faulty: Guard, scan: bytes) -> None:
    expected = faulty.digit(scan)
    outcomes = []

    def ask(data: bytes) -> None:
        try:
            outcomes.append(np.array_equal(faulty.digit(data), expected))
        except ImageError as error:
            outcomes.append(error.detail)

    threads = [threading.Thread(target=ask, args=(b"crash" if n % 5 == 0 else scan,)) for n in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(str, outcomes)) == ["True"] * 12 + ["the decoder crashed: SIGSEGV"] * 3


def test_what_ruins_the_process_for_the_next_image_does_not_cost_it(faulty: Guard, scan: bytes) -> None:
    expected = faulty.digit(scan)
    os.kill(faulty._process.pid, signal.SIGKILL)
    np.testing.assert_array_equal(faulty.digit(scan), expected)


def test_no_process_is_started_for_plain_images_and_none_is_left(scan: bytes) -> None:
    script = f"""
import numpy as np, cv2, subprocess, sys
from digitmill.imaging.batch import decode_batch
from digitmill.imaging.guard import GUARD
decode_batch([cv2.imencode(".png", np.eye(28, dtype=np.uint8) * 255)[1].tobytes()], 1)
assert GUARD._process is None
decode_batch([{scan!r}], 1)
print(GUARD._process.pid)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert not pathlib.Path("/proc", done.stdout.strip()).exists()


def test_it_ends_with_a_caller_that_is_killed(scan: bytes) -> None:
    script = f"""
import os, signal
from digitmill.imaging.guard import GUARD
GUARD.digit({scan!r})
print(GUARD._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    process = pathlib.Path("/proc", done.stdout.strip(), "cmdline")
    for _ in range(100):
        if not process.exists() or not process.read_bytes():
            return
        time.sleep(0.05)
    pytest.fail("the guarded process outlives its caller")


def test_a_forked_child_starts_its_own(scan: bytes) -> None:
    expected = GUARD.digit(scan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        same = GUARD._process is None and np.array_equal(GUARD.digit(scan), expected)
        GUARD.close()
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(GUARD.digit(scan), expected)


def test_modules_in_the_working_folder_are_not_run(
    scan: bytes, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv2.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    guard = Guard()
    assert guard.digit(scan).any()
    guard.close()


def test_a_process_that_does_not_start_is_no_fault_of_the_image(scan: bytes) -> None:
    guard = Guard([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(GuardError, match="does not start: exit code 3"):
        guard.digit(scan)
    guard.close()


@pytest.mark.slow
def test_restarts_leave_neither_zombies_nor_open_files(faulty: Guard, scan: bytes) -> None:
    faulty.digit(scan)
    files = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ImageError):
            faulty.digit(b"crash")
        faulty.digit(scan)
    gc.collect()
    # Fewer, where something else of this process has been collected in between.
    assert len(os.listdir("/proc/self/fd")) <= files
    children = pathlib.Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    states = [
        pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] for child in children
    ]
    assert "Z" not in states


def test_a_batch_of_every_kind_loses_nothing(scan: bytes) -> None:
    batch = decode_batch([scan, scan[:-40], b"", scan], 4)
    assert [error and error.code for error in batch.errors] == [
        None,
        FailureCode.CORRUPT,
        FailureCode.EMPTY,
        None,
    ]
    np.testing.assert_array_equal(batch.digits[0], batch.digits[3])


def test_the_pixel_cap_holds_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", str(10**9))
    file = io.BytesIO()
    Image.new("1", (8200, 4100)).save(file, "TIFF", compression="group4")
    guard = Guard()
    with pytest.raises(ImageError) as caught:
        guard.digit(file.getvalue())
    guard.close()
    assert caught.value.code is FailureCode.TOO_LARGE
