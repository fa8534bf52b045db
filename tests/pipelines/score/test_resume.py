import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.storage import open_folder
from digitmill.storage.object_stores.google import EMULATOR
from pipelines.output.verification import verify
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from pipelines.scoring.classify import Classifier
from schemas.errors import StoppedError, StorageError, UserError
from tests.beam_engines import contents, interrupt_scoring
from tests.gcs_emulator import Bucket, Proxy
from tests.launching import launch

FLAGS = ("--runner=FnApiRunner",)
KILLED_AT = (1, 8, 16)
"""Finished work items, of 25, at which one launch after the other is killed."""

SOAK = 20
"""Runs of a soak, each killed at moments of its own."""


def options(folder: pathlib.Path, bundle_path: pathlib.Path, output: object, **more: object) -> ScoreOptions:
    return ScoreOptions(
        inputs=(str(folder),), model=bundle_path, output=str(output), beam_flags=FLAGS, **more
    )


def arguments(folder: pathlib.Path, bundle_path: pathlib.Path, output: object) -> list[object]:
    few = ("--rows-per-part", 20, "--labels", "folder", *FLAGS)
    return ["score", "--input", folder, "--model", bundle_path, "--output", output, *few]


@pytest.fixture(scope="module")
def undisturbed(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What a run that nothing befalls writes."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    asked = options(digit_folder, bundle_path, output, labels="folder", rows_per_part=20)
    assert score_job.run(asked).manifest.counts.scored == 500
    return contents(output)


def run_with_kills(start: Callable[[], object], *, moments: random.Random, longest: float, kills: int) -> int:
    """Launches until a launch ends by itself; returns how many were killed, at random moments."""
    for number in range(kills + 1):
        process = start()
        if number < kills:
            process.join(moments.uniform(0, longest))
            process.kill()
        process.join(300)
        if process.exitcode == 0:
            return number
        assert process.exitcode == -signal.SIGKILL
    pytest.fail("a launch that was left alone did not end well")


def test_a_run_killed_at_three_points_and_resumed_ends_the_same(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    undisturbed: dict[str, bytes],
    tmp_path: pathlib.Path,
) -> None:
    asked = [*arguments(digit_folder, bundle_path, tmp_path / "out"), "--resume"]
    for items in KILLED_AT:
        process = launch(asked, tmp_path / "log")
        wait_for_items(tmp_path / "out", items)
        process.kill()
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
        assert not (tmp_path / "out" / "manifest.json").exists()
    process = launch(asked, tmp_path / "log")
    process.join(300)
    assert process.exitcode == 0
    assert contents(tmp_path / "out") == undisturbed
    assert verify(open_folder(str(tmp_path / "out"))).findings == ()


def wait_for_items(output: pathlib.Path, number: int) -> None:
    """Return as soon as so many work items are done."""
    for _ in range(30_000):
        if len(list(output.glob("statistics/part-*"))) >= number:
            return
        time.sleep(0.002)
    pytest.fail(f"{number} work items were not done within a minute")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SOAK))
def test_a_run_killed_at_a_random_moment_and_resumed_ends_the_same(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    undisturbed: dict[str, bytes],
    tmp_path: pathlib.Path,
    seed: int,
) -> None:
    asked = arguments(digit_folder, bundle_path, tmp_path / "out")

    def start() -> object:
        return launch([*asked, "--resume"], tmp_path / "log")

    run_with_kills(start, moments=random.Random(seed), longest=1.2, kills=3)
    assert contents(tmp_path / "out") == undisturbed
    assert verify(open_folder(str(tmp_path / "out"))).findings == ()


@pytest.mark.slow
def test_a_run_killed_repeatedly_in_a_bucket_ends_the_same(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    undisturbed: dict[str, bytes],
    bucket: Bucket,
    gcs_port: int,
    tmp_path: pathlib.Path,
) -> None:
    asked = arguments(digit_folder, bundle_path, f"{bucket.uri}/out")
    moments, deaths = random.Random(1), 0
    environment = {EMULATOR: f"http://127.0.0.1:{gcs_port}"}
    for number in range(SOAK):

        def start(number: int = number) -> object:
            place = [
                f"{bucket.uri}/out{number}" if given == f"{bucket.uri}/out" else given for given in asked
            ]
            return launch([*place, "--resume"], tmp_path / "log", environment=environment)

        deaths += run_with_kills(start, moments=moments, longest=1.2, kills=1)
        assert contents(f"{bucket.uri}/out{number}") == undisturbed
    assert deaths > 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_stopped_run_says_in_one_line_how_to_resume(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    undisturbed: dict[str, bytes],
    tmp_path: pathlib.Path,
    sent: signal.Signals,
) -> None:
    asked = arguments(digit_folder, bundle_path, tmp_path / "out")
    log = tmp_path / "log"
    process = launch(asked, log)
    wait_for_items(tmp_path / "out", 1)
    os.kill(process.pid, sent)
    process.join(300)
    assert process.exitcode == 1
    (line,) = log.read_text().splitlines()
    assert line.startswith("digitmill: stopped by a signal. Finished work is kept. To resume: ")
    assert not (tmp_path / "out" / "manifest.json").exists()
    again = line.rpartition("To resume: ")[2]
    program, *arguments_again = again.split()
    assert program == "digitmill"
    finished = launch(arguments_again, log)
    finished.join(300)
    assert finished.exitcode == 0
    assert contents(tmp_path / "out") == undisturbed


def test_nothing_is_scored_twice(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = options(digit_folder, bundle_path, tmp_path / "out", rows_per_part=100)
    real, scored = Classifier.classify, []

    def counts(classifier: Classifier, read: object) -> object:
        if len(scored) >= 3:  # two threads may pass three together
            raise StorageError("the store is there", value="it", hint="mend it")
        done = real(classifier, read)
        scored.append(done)
        return done

    monkeypatch.setattr(Classifier, "classify", counts)
    with pytest.raises(
        StoppedError, match=r"the store is there: 'it'. Mend it. Finished work is kept.* --resume"
    ):
        score_job.run(asked)
    monkeypatch.setattr(Classifier, "classify", real)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("part-*")}
    summary = score_job.run(
        options(digit_folder, bundle_path, tmp_path / "out", rows_per_part=100, resume=True)
    )
    assert summary.manifest.counts.scored == 500
    assert 0 < summary.manifest.times["images"] < 500
    assert (
        before.items()
        <= {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("part-*")}.items()
    )


def test_resuming_a_finished_run_does_nothing(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    first = score_job.run(options(digit_folder, bundle_path, tmp_path / "out"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = score_job.run(options(digit_folder, bundle_path, tmp_path / "out", resume=True))
    assert again.manifest == first.manifest
    assert {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()
    }.items() <= before.items()


def cut_off(asked: ScoreOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begins a run that is killed when it has listed."""
    interrupt_scoring(monkeypatch)
    with pytest.raises(StoppedError):
        score_job.run(asked)
    monkeypatch.undo()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accept_threshold": 0.5}, "accept_threshold was 0.9 and is now 0.5"),
        ({"labels": "folder"}, "labels was None and is now 'folder'"),
        ({"limit": 9}, "limit was None and is now 9"),
        ({"inputs": ("elsewhere",)}, "inputs was "),
        ({"rows_per_part": 7}, "rows_per_part was 65536 and is now 7"),
    ],
)
def test_another_run_in_the_same_output_is_refused_with_what_differs(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict,
    said: str,
) -> None:
    fields = {"inputs": (str(digit_folder),), "model": bundle_path, "output": str(tmp_path / "out")}
    cut_off(ScoreOptions(**fields), monkeypatch)
    with pytest.raises(UserError, match="cannot resume with other options") as caught:
        score_job.run(ScoreOptions(**(fields | change), resume=True))
    assert said in str(caught.value)
    score_job.run(ScoreOptions(**fields, resume=True))
    with pytest.raises(UserError, match="cannot resume with other options"):
        score_job.run(ScoreOptions(**(fields | change), resume=True))


def test_a_started_run_is_not_started_again(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = options(digit_folder, bundle_path, tmp_path / "out")
    cut_off(asked, monkeypatch)
    with pytest.raises(UserError, match="Resume it by --resume"):
        score_job.run(asked)


def test_a_frozen_listing_ignores_later_changes(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut_off(options(mixed_folder, bundle_path, tmp_path / "out"), monkeypatch)
    victim = next(mixed_folder.glob("3/*.png"))
    (mixed_folder / "new.png").write_bytes(victim.read_bytes())
    victim.unlink()
    manifest = score_job.run(options(mixed_folder, bundle_path, tmp_path / "out", resume=True)).manifest
    assert manifest.counts.listed == 65
    assert manifest.failures["MISSING"] == 1
    assert "new.png" not in "".join(path.read_text() for path in (tmp_path / "out").rglob("*.csv"))


def test_an_unusable_input_leaves_nothing(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "truth.csv").write_text("path,label\nelsewhere.png,1\n")
    with pytest.raises(UserError, match="no image of the input has a label"):
        score_job.run(
            options(mixed_folder, bundle_path, tmp_path / "out", labels=str(tmp_path / "truth.csv"))
        )
    assert not (tmp_path / "out").exists()


def test_of_two_launchers_one_wins_and_the_other_is_refused(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    undisturbed: dict[str, bytes],
    tmp_path: pathlib.Path,
) -> None:
    asked = [*arguments(digit_folder, bundle_path, tmp_path / "out"), "--resume"]
    launched = [launch(asked, tmp_path / f"log{number}") for number in range(3)]
    for process in launched:
        process.join(300)
    said = [(tmp_path / f"log{number}").read_text() for number in range(3)]
    ended = [process.exitcode for process in launched]
    assert ended.count(0) >= 1
    for code, text in zip(ended, said, strict=True):
        assert code == 0 or (code == 2 and "another launcher is writing to this output" in text)
    assert contents(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_repeated_bundles_change_nothing(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    undisturbed: dict[str, bytes],
    tmp_path: pathlib.Path,
) -> None:
    asked = options(digit_folder, bundle_path, tmp_path / "out", labels="folder", rows_per_part=20)
    repeated = ScoreOptions(**(vars(asked) | {"beam_flags": (*FLAGS, "--direct_runner_bundle_repeat=3")}))
    score_job.run(repeated)
    assert contents(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_a_full_disk_stops_the_run_in_one_line_and_it_can_be_resumed(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    undisturbed: dict[str, bytes],
    tmp_path: pathlib.Path,
) -> None:
    asked = arguments(digit_folder, bundle_path, tmp_path / "out")
    command = [sys.executable, "-m", "digitmill", *map(str, asked)]
    # No file may become larger than 4 KB: what writing to a full disk or over a quota looks like.
    limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 4; exec "$@"', "bash", *command]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot read or write the output" in line
    assert "File too large" in line
    process = launch([*asked, "--resume"], tmp_path / "log")
    process.join(300)
    assert process.exitcode == 0
    assert contents(tmp_path / "out") == undisturbed


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are given up on soon."""
    from digitmill.storage.object_stores import google, lease, retries

    # A lease that could not be given back is watched before it is taken over.
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.2)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(google, "RETRY_SECONDS", 0.5)
    monkeypatch.setattr(google, "CONTACT_SECONDS", 0.5)
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.01)


def answer_503(proxy: Proxy, after: int) -> Callable[[], None]:
    """Make a store fail for good after so many further requests; return what mends it."""
    real = proxy.RequestHandlerClass.do_GET
    seen = [0]

    def fails(handler: object) -> None:
        seen[0] += 1
        if seen[0] > after:
            handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
            handler._answer(503, [("Content-Type", "text/plain")], b"gone")
        else:
            real(handler)

    kind = proxy.RequestHandlerClass
    proxy.RequestHandlerClass = type(
        "Failing",
        (kind,),
        dict.fromkeys(("do_GET", "do_POST", "do_PUT", "do_HEAD", "do_DELETE", "do_PATCH"), fails),
    )

    def mend() -> None:
        seen[0] = -(10**9)

    return mend


@pytest.mark.parametrize("after", [3, 30, 60])
def test_an_output_that_disappears_stops_the_run_in_one_line_and_it_can_be_resumed(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    undisturbed: dict[str, bytes],
    bucket: Bucket,
    through_proxy: Proxy,
    impatient: None,
    after: int,
) -> None:
    asked = vars(options(digit_folder, bundle_path, f"{bucket.uri}/out", labels="folder", rows_per_part=20))
    asked |= {"retry_deadline": 0.5}
    mend = answer_503(through_proxy, after)
    with pytest.raises((StoppedError, UserError), match=r"gone|Check the connection|Timeout"):
        score_job.run(ScoreOptions(**asked))
    mend()
    score_job.run(ScoreOptions(**(asked | {"resume": True})))
    assert contents(f"{bucket.uri}/out") == undisturbed


def test_an_input_store_that_disappears_fails_the_run_instead_of_its_images(
    digits: np.ndarray,
    png_of: Callable,
    bundle_path: pathlib.Path,
    bucket: Bucket,
    through_proxy: Proxy,
    tmp_path: pathlib.Path,
    impatient: None,
) -> None:
    for number in range(60):
        bucket.put(f"in/{number}.png", png_of(digits[number]))
    asked = {"rows_per_part": 20, "output": str(tmp_path / "out"), "retry_deadline": 0.5}
    asked |= {"inputs": (f"{bucket.uri}/in",), "model": bundle_path, "beam_flags": FLAGS}
    mend = answer_503(through_proxy, 25)
    with pytest.raises(StoppedError, match=r"cannot reach a bucket of the input.* --resume"):
        score_job.run(ScoreOptions(**asked))
    mend()
    manifest = score_job.run(ScoreOptions(**asked, resume=True)).manifest
    assert (manifest.counts.scored, manifest.counts.failed) == (60, 0)


def test_signal_handlers_stay_in_other_threads(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    before, done = signal.getsignal(signal.SIGTERM), []
    thread = threading.Thread(
        target=lambda: done.append(score_job.run(options(digit_folder, bundle_path, tmp_path / "out")))
    )
    thread.start()
    thread.join()
    assert done[0].manifest.counts.scored == 500
    assert signal.getsignal(signal.SIGTERM) is before
