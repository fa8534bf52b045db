"""Runs that list in the launcher, and worker processes that score meanwhile."""

import dataclasses
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from digitmill.storage import open_folder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from pipelines.listing.frozen_listing import ItemRef
from pipelines.listing.input_listing import Listing
from pipelines.output.verification import verify
from pipelines.score import run_listing, score_job
from pipelines.score_options import ScoreOptions
from pipelines.workers.pool import WorkerPool
from schemas.errors import StoppedError, StorageError, UnreconciledError, UserError, WorkerError
from schemas.run_plan import RunPlan
from tests.beam_engines import contents

PATIENCE_SECONDS = 100


@pytest.fixture
def folder(digit_folder: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """100 digits."""
    for path in sorted(digit_folder.rglob("*.png"))[::5]:
        target = tmp_path / "digits" / path.relative_to(digit_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path / "digits"


@pytest.fixture
def options(folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> ScoreOptions:
    return ScoreOptions(
        inputs=(str(folder),),
        model=bundle_path,
        output=str(tmp_path / "out"),
        workers=2,
        rows_per_part=20,
        resume=True,
    )


@pytest.fixture
def before_the_last(
    options: ScoreOptions, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], None]], None]:
    """Has something done when an item is scored and the last image not listed yet."""
    real, records = run_listing.open_listing, pathlib.Path(options.output) / "statistics"

    def wait() -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (records.exists() and os.listdir(records)):
            assert time.monotonic() < end, "nothing was scored while the launcher listed"
            time.sleep(0.01)

    def then(act: Callable[[], None]) -> None:
        def slowly(images: Iterator[ListedImage]) -> Iterator[ListedImage]:
            *others, last = images
            yield from others
            wait()
            act()
            yield last

        def listing(options: ScoreOptions, *, spread: bool) -> Listing:
            return real(options, spread=spread).map(slowly)

        monkeypatch.setattr(run_listing, "open_listing", listing)

    return then


def run(options: ScoreOptions) -> None:
    with WorkerPool(2) as pool:
        pool.start()
        score_job.run(options, pool)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def refuse() -> None:
    raise UserError("cannot list the folder", value="closed", hint="grant access")


def alone(options: ScoreOptions, tmp_path: pathlib.Path) -> dict[str, bytes]:
    """What one process writes that lists first."""
    score_job.run(ScoreOptions(**{**vars(options), "output": str(tmp_path / "alone"), "workers": 1}))
    return contents(tmp_path / "alone")


def test_items_are_scored_while_the_rest_is_listed(
    options: ScoreOptions, before_the_last: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context():
        before_the_last(lambda: None)
        run(options)
    monkeypatch.undo()
    assert contents(tmp_path / "out") == alone(options, tmp_path)


def test_a_failed_listing_leaves_nothing(
    options: ScoreOptions, before_the_last: Callable, tmp_path: pathlib.Path
) -> None:
    before_the_last(refuse)
    with pytest.raises(UserError, match="cannot list the folder"):
        run(options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_launcher_stopped_while_it_lists_can_be_resumed(
    options: ScoreOptions,
    before_the_last: Callable,
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before_the_last(stop)
    with pytest.raises(StoppedError, match="--resume"):
        run(options)
    monkeypatch.undo()
    assert not (tmp_path / "out" / "listing" / "index.json").exists()
    # What was scored of the first listing is no part of the run where the second one differs.
    next(folder.rglob("*.png")).unlink()
    run(options)
    assert verify(open_folder(options.output)).findings == ()
    assert contents(tmp_path / "out") == alone(options, tmp_path)


@pytest.mark.slow
def test_an_image_replaced_by_one_of_the_same_time_is_scored_again(
    options: ScoreOptions,
    before_the_last: Callable,
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before_the_last(stop)
    with pytest.raises(StoppedError, match="--resume"):
        run(options)
    monkeypatch.undo()
    first, *_, last = sorted(folder.rglob("*.png"))
    assert first.stat().st_size != last.stat().st_size
    times = first.stat().st_atime_ns, first.stat().st_mtime_ns
    shutil.copyfile(last, first)
    os.utime(first, ns=times)
    run(options)
    assert contents(tmp_path / "out") == alone(options, tmp_path)


@pytest.mark.slow
def test_an_interrupted_removal_leaves_no_record_of_a_removed_file(
    options: ScoreOptions,
    before_the_last: Callable,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before_the_last(refuse)
    real = LocalFolder.delete

    def cut_off(output: LocalFolder, name: str) -> None:
        real(output, name)
        if name.startswith("predictions/"):
            raise KeyboardInterrupt

    monkeypatch.setattr(LocalFolder, "delete", cut_off)
    with pytest.raises(StoppedError, match="--resume"):
        run(options)
    monkeypatch.undo()
    run(options)
    assert contents(tmp_path / "out") == alone(options, tmp_path)


def fail() -> None:
    raise StorageError("it is there", value="it", hint="mend it")


@pytest.mark.parametrize(("act", "error"), [(stop, StoppedError), (fail, StoppedError), (refuse, UserError)])
def test_whatever_ends_the_listing_ends_the_processes(
    options: ScoreOptions, before_the_last: Callable, act: Callable, error: type[Exception]
) -> None:
    before_the_last(act)
    with WorkerPool(2) as pool:
        with pytest.raises(error):
            score_job.run(options, pool)
        assert pool.pids == ()
        with pytest.raises(WorkerError, match="were stopped"):
            pool.submit(("item", 0))


@pytest.fixture
def submitted(options: ScoreOptions, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each work item that worker processes were given, whether everything was listed by then."""
    real, index, said = WorkerPool.submit, pathlib.Path(options.output) / "listing/index.json", []

    def submit(pool: WorkerPool, ref: ItemRef) -> Future[str]:
        said.append(index.exists())
        return real(pool, ref)

    monkeypatch.setattr(WorkerPool, "submit", submit)
    return said


@pytest.mark.slow
def test_in_a_bucket_nothing_is_scored_before_all_is_listed(
    options: ScoreOptions, submitted: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_job, "LocalFolder", type("Other", (), {}))
    run(options)
    assert submitted == [True] * 5


def test_processes_that_are_ready_get_each_item_as_it_is_listed(
    options: ScoreOptions, submitted: list[bool]
) -> None:
    run(options)
    assert submitted == [False] * 5


def test_workers_1_leaves_early_processes_idle(options: ScoreOptions, submitted: list[bool]) -> None:
    run(dataclasses.replace(options, workers=1))
    assert submitted == []


@pytest.mark.parametrize(
    "flag",
    [
        "--direct_running_mode=multi_threading",
        pytest.param("--direct_runner_bundle_repeat=1", marks=pytest.mark.slow),
    ],
)
def test_where_beam_lists_in_another_thread_or_twice_nothing_is_scored_before_all_is_listed(
    options: ScoreOptions, submitted: list[bool], flag: str
) -> None:
    run(dataclasses.replace(options, beam_flags=(flag,)))
    assert set(submitted) == {True}


def test_a_runner_that_gives_up_while_the_launcher_lists_leaves_the_first_unfinished_item_named(
    options: ScoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refs = WorkerPool.submit, []

    def submit(pool: WorkerPool, ref: ItemRef) -> Future[str]:
        refs.append(ref)
        if len(refs) == 3:
            raise RuntimeError("Pipeline job failed in state FAILED: it is gone")
        return real(pool, ref)

    monkeypatch.setattr(WorkerPool, "submit", submit)
    with pytest.raises(StoppedError, match=r"it is gone.*of 3 work items are not done, the first of them"):
        run(options)


class Held:
    """A hold that another launcher may take over."""

    lost = False

    def confirm(self) -> None:
        if self.lost:
            raise StorageError("this launcher no longer holds its output", value="out", hint="wait")


def begin(options: ScoreOptions, hold: Held) -> run_listing.RunListing:
    plan = RunPlan(inputs=options.inputs, model="model", preprocessing="1", settings={}, past={})
    output = open_folder(options.output)
    output.claim()
    return run_listing.begin_run(options, plan, output, run="run", hold=hold)


def test_a_launcher_that_lost_its_output_removes_nothing_of_the_next_one(
    options: ScoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, output = Held(), open_folder(options.output)

    def taken_over(images: Iterator[ListedImage]) -> Iterator[ListedImage]:
        yield next(images)
        hold.lost = True
        output.write_once("statistics/part-theirs.json", b"{}")
        refuse()

    real = run_listing.open_listing
    monkeypatch.setattr(
        run_listing, "open_listing", lambda *given, **named: real(*given, **named).map(taken_over)
    )
    listing = begin(options, hold)
    before = {*output.walk(), "statistics/part-theirs.json"}
    with pytest.raises(StorageError, match="no longer holds"), listing.errors():
        list(listing)
    assert set(output.walk()) == before


def test_a_listing_can_be_iterated_once(options: ScoreOptions) -> None:
    listing = begin(options, Held())
    assert len(list(listing)) == 5
    with pytest.raises(RuntimeError, match="the listing was already consumed"):
        list(listing)
    assert len(listing.index().items) == 5


def test_a_listing_that_was_cut_off_has_no_index(options: ScoreOptions) -> None:
    listing = begin(options, Held())
    with listing.errors():
        next(iter(listing))
    with pytest.raises(UnreconciledError, match=r"no index.*index\.json.*--resume"):
        listing.index()
