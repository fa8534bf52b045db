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

from digitmill.imaging import decoder_messages
from digitmill.imaging.batch import decode_batch
from digitmill.imaging.canonical import canonicalize
from digitmill.imaging.decode import decode_here
from digitmill.imaging.guard import GUARD, Guard
from digitmill.imaging.headers.header import read_header
from schemas.errors import WorkerError
from schemas.failure import FailureCode, ImageError

FAULTY = r"""
import ctypes, os, pathlib, signal, socket, sys, time
import numpy as np
from digitmill.imaging import decoder_process

def fail(how):
    if how == b"crash":
        ctypes.string_at(0)
    if how == b"abort":
        os.abort()
    if how == b"hang":
        while True:
            pass
    if how == b"work":
        began = time.process_time()
        while time.process_time() < began + 0.4:
            pass
        return
    if how.startswith(b"draw all before, once in "):
        # As a frame of an animation does after its process was killed.
        left = pathlib.Path(os.fsdecode(how.removeprefix(b"draw all before, once in ")))
        if not left.read_text():
            left.write_text("killed")
            os.kill(os.getpid(), signal.SIGKILL)
        fail(b"work"), fail(b"work")
    if how == b"sleep":
        time.sleep(100)
    if how == b"raise":
        raise KeyError("a mistake in the decoder")
    if how == b"eat":
        bytearray(2**40)
    if how == b"lack":
        raise OSError(24, "Too many open files")
    if how == b"be killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == b"exit":
        os._exit(0)
    if how == b"babble":
        os.write(0, b"D\0\0\0\x08nonsense")
    if how.startswith(b"once in "):
        left = pathlib.Path(os.fsdecode(how.removeprefix(b"once in ")))
        times = int(left.read_text())
        if times:
            left.write_text(str(times - 1))
            os.kill(os.getpid(), signal.SIGKILL)

def handle(kind, data):
    whole, scan = data.split(b"|", 1) if b"|" in data else (b"", data)
    fail(whole)
    pages = scan.split(b"&") if b"&" in scan else [scan]
    def page(number):
        fail(pages[number])
        if pages[number] in (b"work", b"drawn") or b"draw all" in pages[number]:
            return np.eye(28, dtype=np.uint8) * 255
        return decoder_process.handle(kind, pages[number])[1](0)
    return len(pages), page

decoder_process.FILE_SECONDS = 1.0
decoder_process.prepare()
decoder_process.serve(handle, socket.socket(fileno=0), seconds=0.5)
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
    guard = Guard([sys.executable, "-c", FAULTY], stall=1)
    yield guard
    guard.close()


def test_it_answers_as_this_process_would(scan: bytes) -> None:
    pixels = decode_here(scan, read_header(scan))
    np.testing.assert_array_equal(GUARD.pixels(scan), pixels)
    np.testing.assert_array_equal(GUARD.digit(scan), canonicalize(pixels))


def test_deep_and_colorful_pixels_come_whole() -> None:
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


def test_a_file_of_many_slow_pages_does_not_hold_up_the_others(faulty: Guard) -> None:
    count, outcomes = faulty.digits(b"&".join([b"work"] * 6))
    assert count == 6
    assert [isinstance(outcome, ImageError) for outcome in outcomes] == [False] * 3 + [True] * 3
    assert {outcome.code for outcome in outcomes[3:]} == {FailureCode.TOO_LARGE}


def test_a_frame_has_the_time_of_all_before_it_when_its_process_was_killed(
    faulty: Guard, tmp_path: pathlib.Path
) -> None:
    left = tmp_path / "left"
    left.write_text("")
    _, outcomes = faulty.digits(b"drawn&draw all before, once in " + os.fsencode(left))
    assert left.read_text() == "killed"
    assert [isinstance(outcome, np.ndarray) for outcome in outcomes] == [True, True]


FAULTS = [
    (b"crash", FailureCode.CORRUPT, "the decoder crashed: SIGSEGV"),
    (b"abort", FailureCode.CORRUPT, "the decoder crashed: SIGABRT"),
    (b"raise", FailureCode.CORRUPT, "the decoder crashed: exit code 1"),
    (b"exit", FailureCode.CORRUPT, "the decoder crashed: exit code 0"),
    (b"babble", FailureCode.CORRUPT, "the decoder returned nonsense"),
    (b"hang", FailureCode.CORRUPT, "the decoder took longer than"),
    (b"eat", FailureCode.TOO_LARGE, "the decoder needs more than"),
]


@pytest.mark.parametrize(("data", "code", "detail"), FAULTS)
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
def test_a_decoder_that_sleeps_is_restarted_and_at_last_given_up(faulty: Guard, scan: bytes) -> None:
    with pytest.raises(ImageError, match="did nothing"):
        faulty.digit(b"sleep")
    assert faulty.digit(scan).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"be killed", "the decoder process was killed 10 times in a row: 'SIGKILL'. Free memory"),
        (b"lack", "the decoder process cannot work: .*Too many open files.*Allow more processes"),
    ],
)
def test_what_the_machine_does_is_no_fault_of_the_image(
    faulty: Guard, scan: bytes, data: bytes, message: str
) -> None:
    with pytest.raises(WorkerError, match=message):
        faulty.digit(data)
    assert faulty.digit(scan).any()


def test_a_decoder_that_is_killed_six_times_costs_nothing(
    faulty: Guard, scan: bytes, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    kills = tmp_path / "kills"
    kills.write_text("6")
    assert faulty.digit(b"once in " + os.fsencode(kills) + b"|" + scan).any()
    assert kills.read_text() == "0"


def test_the_pages_of_a_file_come_one_by_one_and_fail_one_by_one(faulty: Guard, scan: bytes) -> None:
    expected = faulty.digit(scan)
    count, outcomes = faulty.digits(b"&".join([scan, b"crash", b"", scan, b"hang", scan]))
    assert count == 6
    assert [isinstance(outcome, ImageError) and outcome.code for outcome in outcomes] == [
        False,
        FailureCode.CORRUPT,
        FailureCode.EMPTY,
        False,
        FailureCode.CORRUPT,
        False,
    ]
    np.testing.assert_array_equal(outcomes[-1], expected)


def test_pages_that_end_the_decoder_one_after_the_other_end_the_reading_of_their_file(
    faulty: Guard, scan: bytes
) -> None:
    _, outcomes = faulty.digits(b"&".join([scan, *[b"abort"] * 3, scan, scan]))
    assert isinstance(outcomes[0], np.ndarray)
    details = [outcome.detail for outcome in outcomes[1:] if isinstance(outcome, ImageError)]
    assert (
        details
        == ["the decoder crashed: SIGABRT"] * 3 + ["not decoded: 3 pages before it ended the decoder"] * 2
    )


def test_a_file_whose_pages_cannot_be_counted_has_one_error(faulty: Guard, scan: bytes) -> None:
    count, (outcome,) = faulty.digits(b"crash|" + scan + b"&" + scan)
    assert (count, str(outcome)) == (1, "CORRUPT: the decoder crashed: SIGSEGV")


def test_a_page_that_a_file_does_not_have_is_an_error(faulty: Guard, scan: bytes) -> None:
    assert faulty.pixels(scan + b"&" + scan, page=1).any()
    for data in (scan, scan + b"&" + scan):
        with pytest.raises(ImageError, match="no such page"):
            faulty.pixels(data, page=2)


def test_the_time_in_which_the_machine_is_stopped_does_not_count(
    faulty: Guard, scan: bytes, tmp_path: pathlib.Path
) -> None:
    expected = faulty.digit(scan)
    assert faulty._process is not None
    child = faulty._process.pid
    # As `docker pause`: everything stops, twice as long as a page may take.
    os.kill(child, signal.SIGSTOP)
    threading.Timer(3, os.kill, (child, signal.SIGCONT)).start()
    np.testing.assert_array_equal(faulty.digit(scan), expected)
    assert faulty._process.pid == child


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


def test_a_reply_that_was_not_awaited_is_not_taken_for_that_of_the_next_image(
    faulty: Guard, scan: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, other = faulty.digit(scan), np.zeros((28, 28), np.uint8)
    other[4:24, 10:14] = 200
    canonical = io.BytesIO()
    Image.fromarray(other).save(canonical, "TIFF")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoder_messages, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            faulty.digit(canonical.getvalue())
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


STARTS_LATER = """
import os, pathlib, signal, sys
kills = pathlib.Path(sys.argv[1])
left = int(kills.read_text())
if left:
    kills.write_text(str(left - 1))
    os.kill(os.getpid(), signal.SIGKILL)
from digitmill.imaging import decoder_process
decoder_process.main()
"""


def test_a_process_that_is_killed_while_it_starts_is_restarted(scan: bytes, tmp_path: pathlib.Path) -> None:
    kills = tmp_path / "kills"
    kills.write_text("3")
    guard = Guard([sys.executable, "-c", STARTS_LATER, str(kills)])
    assert guard.digit(scan).any()
    guard.close()


def test_a_process_that_does_not_start_is_no_fault_of_the_image(scan: bytes) -> None:
    guard = Guard([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(
        WorkerError, match=r"cannot start the decoder process: 'exit code 3'\. Allow more processes"
    ):
        guard.digit(scan)
    guard.close()


def test_a_limit_of_open_files_is_no_fault_of_the_image(scan: bytes, tmp_path: pathlib.Path) -> None:
    (tmp_path / "scan.tif").write_bytes(scan)
    script = f"""
import pathlib, resource, sys
from digitmill.imaging.batch import decode_batch
from schemas.errors import WorkerError
resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
try:
    decode_batch([pathlib.Path({str(tmp_path / "scan.tif")!r}).read_bytes()], 1)
except WorkerError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert "cannot start the decoder process: '[Errno 24] Too many open files'. Allow" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become a user without other processes")
def test_a_limit_of_processes_is_no_fault_of_the_image(scan: bytes) -> None:
    script = f"""
import os, resource
from digitmill.imaging.batch import decode_batch
from schemas.errors import WorkerError
os.setresuid(54321, 54321, 54321)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
try:
    decode_batch([{scan!r}], 1)
except WorkerError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "cannot start the decoder process: " in done.stdout
    assert "Allow more processes" in done.stdout


def test_the_kernel_ends_the_decoder_first_when_memory_runs_out(scan: bytes) -> None:
    GUARD.digit(scan)
    assert GUARD._process is not None
    assert pathlib.Path(f"/proc/{GUARD._process.pid}/oom_score_adj").read_text() == "1000\n"


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


@pytest.mark.slow
def test_verdicts_do_not_depend_on_what_came_before(scan: bytes) -> None:
    colors = np.random.default_rng(0).integers(0, 255, (64, 64, 4), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.tile(colors, (64, 64, 1))).save(file, "TIFF", compression="tiff_lzw")
    large = file.getvalue()
    guard = Guard()
    first = guard.pixels(large)
    assert first.shape == (4096, 4096, 4)
    for _ in range(5):
        guard.digit(scan)
        np.testing.assert_array_equal(guard.pixels(large), first)
    guard.close()


HUNGRY = """
import pathlib, resource, socket, sys
import numpy as np
from digitmill.imaging import decoder_process
from schemas.failure import FailureCode, ImageError

kept = []

def handle(kind, data):
    def page(number):
        if data == b"leak":
            kept.append(bytearray(200 * 2**20))
        large = bytearray(int(data) * 2**20) if data.isdigit() else None
        return np.zeros((28, 28), np.uint8)
    return 1, page

decoder_process.serve(handle, socket.socket(fileno=0))
"""


def test_each_file_has_the_same_memory_whatever_a_decoder_has_kept() -> None:
    guard = Guard([sys.executable, "-c", HUNGRY])
    for _ in range(6):
        guard.digit(b"leak")
        guard.digit(b"1000")
        with pytest.raises(ImageError, match="the decoder needs more than 1,073,741,824 bytes"):
            guard.digit(b"1100")
    guard.close()
