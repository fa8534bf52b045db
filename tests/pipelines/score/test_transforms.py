import dataclasses
import itertools
import pathlib
import pickle
from collections.abc import Iterable
from concurrent.futures import Future

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.shared import Shared

from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import Engine
from digitmill.storage.local_output import LocalFolder
from pipelines.listing.frozen_listing import FrozenItem, ItemRef, freeze_listing
from pipelines.listing.input_listing import Listing, list_images
from pipelines.score.transforms import ScoreImages, ScoreWorkItem, ScoringTask
from pipelines.scoring.scorer import Scorer
from pipelines.statistics.item_statistics import ItemStatistics
from schemas.errors import WorkerError
from schemas.layout import statistics_name


def frozen(folder: pathlib.Path, output: pathlib.Path, size: int) -> list[FrozenItem]:
    output.mkdir(exist_ok=True)
    return list(
        freeze_listing(Listing(list_images([str(folder)])), LocalFolder(output), run="run", most=size)
    )


def task_of(bundle: Bundle, output: pathlib.Path) -> ScoringTask:
    return ScoringTask(bundle=bundle, output=str(output), run="run", accept_threshold=0.9)


def test_every_item_is_done_and_named(
    mixed_folder: pathlib.Path, bundle: Bundle, tmp_path: pathlib.Path
) -> None:
    items = frozen(mixed_folder, tmp_path / "out", 7)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        done = (
            pipeline
            | beam.Create([item.ref for item in items])
            | ScoreImages(task_of(bundle, tmp_path / "out"))
        )
        assert_that(done, equal_to([item.digest for item in items]))
    records = [
        ItemStatistics.from_json((tmp_path / "out" / statistics_name(item.digest)).read_text())
        for item in items
    ]
    assert [record.listed for record in records] == [item.images for item in items]


def test_replayed_items_change_nothing(
    mixed_folder: pathlib.Path, bundle: Bundle, tmp_path: pathlib.Path
) -> None:
    def run(output: pathlib.Path, times: int) -> dict[str, bytes]:
        refs = [item.ref for item in frozen(mixed_folder, output, 16)] * times
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            _ = pipeline | beam.Create(refs) | ScoreImages(task_of(bundle, output))
        return {path.name: path.read_bytes() for path in output.rglob("*") if path.is_file()}

    assert run(tmp_path / "once", 1) == run(tmp_path / "thrice", 3)


@pytest.mark.slow
def test_a_process_loads_each_model_once_whatever_its_threads(
    mixed_folder: pathlib.Path,
    bundle: Bundle,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, loaded = Bundle.load, []

    def counted(opened: Bundle) -> Engine:
        loaded.append(opened.digest)
        return real(opened)

    monkeypatch.setattr(Bundle, "load", counted)
    refs = [item.ref for item in frozen(mixed_folder, tmp_path / "out", 2)]
    task = dataclasses.replace(task_of(bundle, tmp_path / "out"), challenger=bundle)
    threads = PipelineOptions(["--direct_num_workers=3", "--direct_running_mode=multi_threading"])
    with beam.Pipeline(runner=FnApiRunner(), options=threads) as pipeline:
        _ = pipeline | beam.Create(refs) | ScoreImages(task)
    assert loaded == [bundle.digest] * 2


def test_the_pickled_dofn_has_no_model(bundle: Bundle, tmp_path: pathlib.Path) -> None:
    packed = pickle.dumps(ScoreWorkItem(task_of(bundle, tmp_path)))
    assert len(packed) < 20_000


class Unhurried(Future):
    """Is done only when somebody waits for it."""

    def result(self, timeout: float | None = None) -> str:
        if not self.done():
            self.set_result("late")
        return super().result(timeout)


class ByHand:
    """A scorer whose items are done when the test says so."""

    max_pending = 3

    def __init__(self) -> None:
        self.submitted: list[Unhurried] = []
        self.given_up: list[Future] = []

    def submit(self, ref: ItemRef) -> Future[str]:
        self.submitted.append(Unhurried())
        return self.submitted[-1]

    def cancel(self, pending: Iterable[Future[str]]) -> None:
        self.given_up.extend(pending)


@pytest.fixture
def by_hand() -> ByHand:
    return ByHand()


@pytest.fixture
def dofn(by_hand: ByHand) -> ScoreWorkItem:
    shared = Shared()
    shared.acquire(lambda: by_hand)
    dofn = ScoreWorkItem(None, shared)
    dofn.setup()
    dofn.start_bundle()
    return dofn


def test_items_are_submitted_at_once_and_collected_when_they_are_done(
    dofn: ScoreWorkItem, by_hand: ByHand
) -> None:
    assert list(dofn.process(("item", 0))) == list(dofn.process(("item", 1))) == []
    by_hand.submitted[0].set_result("first")
    assert list(dofn.process(("item", 2))) == ["first"]
    assert len(by_hand.submitted) == 3
    assert [value.value for value in dofn.finish_bundle()] == ["late", "late"]


def test_no_more_items_are_pending_than_the_scorer_allows(dofn: ScoreWorkItem, by_hand: ByHand) -> None:
    digests = [list(dofn.process(("item", number))) for number in range(5)]
    assert digests == [[], [], [], ["late"], ["late"]]


def test_pending_items_of_a_failed_bundle_are_cancelled(dofn: ScoreWorkItem, by_hand: ByHand) -> None:
    list(dofn.process(("item", 0)))
    list(dofn.process(("item", 1)))
    by_hand.submitted[0].set_exception(OSError("full"))
    with pytest.raises(OSError, match="full"):
        list(dofn.process(("item", 2)))
    dofn.teardown()
    assert by_hand.given_up == [by_hand.submitted[1]]


def test_an_error_in_an_item_fails_its_bundle(
    mixed_folder: pathlib.Path,
    bundle: Bundle,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Scorer, "run", full)
    dofn = ScoreWorkItem(task_of(bundle, tmp_path))
    dofn.setup()
    dofn.start_bundle()
    refs = [item.ref for item in frozen(mixed_folder, tmp_path, 20)]
    with pytest.raises(OSError, match="No space left"):
        # No more than two are pending.
        list(itertools.chain.from_iterable(map(dofn.process, refs[:3])))
    dofn.start_bundle()
    list(dofn.process(refs[0]))
    with pytest.raises(OSError, match="No space left"):
        list(dofn.finish_bundle())


def test_out_of_memory_names_the_work_item(
    mixed_folder: pathlib.Path,
    bundle: Bundle,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_much(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Scorer, "run", too_much)
    dofn = ScoreWorkItem(task_of(bundle, tmp_path))
    dofn.setup()
    dofn.start_bundle()
    item = frozen(mixed_folder, tmp_path, 1000)[0]
    assert list(dofn.process(item.ref)) == []
    with pytest.raises(WorkerError) as caught:
        list(dofn.finish_bundle())
    assert item.digest in str(caught.value)
    assert "Give workers more memory" in str(caught.value)
