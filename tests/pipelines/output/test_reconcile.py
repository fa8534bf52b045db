import dataclasses
import hashlib
import pathlib
import weakref
from collections.abc import Callable

import pytest

from digitmill.engines.engine import LiteRtEngine
from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from pipelines.history import incremental
from pipelines.history.incremental import Bucket
from pipelines.listing.frozen_listing import Frozen, frozen_items
from pipelines.listing.work_item import WorkItem, pack
from pipelines.output.reconcile import Account, collect, remove_strays
from pipelines.scoring.classify import Classifier
from pipelines.scoring.scorer import Scorer
from schemas.errors import UnreconciledError
from schemas.layout import statistics_name


@pytest.fixture
def run(
    mixed_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable, tmp_path: pathlib.Path
) -> tuple[list[WorkItem], LocalFolder]:
    items = items_of(mixed_folder, 20)
    for item in items:
        classifier = Classifier(engine, accept_threshold=0.9)
        Scorer(classifier, ImageReader(), output=LocalFolder(tmp_path / "out")).run(item)
    return items, LocalFolder(tmp_path / "out")


def account(items: list[WorkItem], output: LocalFolder) -> Account:
    frozen = Frozen(tuple(named for item in items for named in frozen_items("x", item)))
    return collect(frozen, output=output, most=4096)


def test_a_complete_run_adds_up(run: tuple) -> None:
    items, output = run
    statistics = account(items, output).statistics
    assert statistics.scored + len(statistics.failures) == sum(len(item.images) for item in items) == 65


def test_a_missing_record_is_named(run: tuple) -> None:
    items, output = run
    (output.path / statistics_name(items[1].digest)).unlink()
    with pytest.raises(UnreconciledError, match=f"part-{items[1].digest}.json with 20 images"):
        account(items, output)


def test_a_damaged_record_is_named(run: tuple) -> None:
    items, output = run
    record = output.path / statistics_name(items[0].digest)
    record.write_bytes(record.read_bytes()[:-10])
    with pytest.raises(UnreconciledError, match=f"part-{items[0].digest}.json"):
        account(items, output)


def test_a_record_that_lost_an_image_is_named(run: tuple) -> None:
    items, output = run
    short = [dataclasses.replace(item, images=item.images[:-1]) for item in items]
    with pytest.raises(UnreconciledError, match="listed = scored \\+ failed"):
        account(short, output)


def test_a_prediction_file_that_is_gone_is_named(run: tuple) -> None:
    items, output = run
    gone = min(output.names("predictions"))
    (output.path / "predictions" / gone).unlink()
    with pytest.raises(UnreconciledError, match=f"predictions/{gone} and 0 more are not"):
        account(items, output)


def test_of_what_the_join_found_one_bucket_is_held_at_a_time(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, buckets = LocalFolder(tmp_path), 6
    items = []
    for number in range(buckets):
        image = ListedImage(f"file:///{number}.png", 1, 1)
        output.write_once(incremental.bucket_name(number), Bucket((image,), 0, ()).to_bytes())
        items += pack([image], "run")
    for group, numbers in enumerate(incremental.groups([1] * buckets, most=4096)):
        list(incremental.freeze_group(output, group, numbers, run="run", most=4096))
    alive: weakref.WeakSet[Bucket] = weakref.WeakSet()
    most = []

    def read(*given: object) -> Bucket:
        bucket = real(*given)
        alive.add(bucket)
        most.append(len(alive))
        return bucket

    real = incremental.read_bucket
    monkeypatch.setattr(incremental, "read_bucket", read)
    frozen = Frozen(tuple(named for item in items for named in frozen_items("x", item)), buckets=buckets)
    with pytest.raises(UnreconciledError, match="every work item has a statistics record"):
        collect(frozen, output=output, most=4096)
    assert len(most) == buckets
    assert max(most) <= 2  # the next one is made before the one before is let go


def test_what_proves_it_is_named(run: tuple) -> None:
    items, output = run
    proof = account(items, output)
    assert sorted(part.name for part in proof.records) == sorted(
        statistics_name(item.digest) for item in items
    )
    for part in proof.parts:
        data = output.read(part.name)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (part.bytes, part.sha256)


def test_a_listing_file_that_was_not_finished_proves_nothing(run: tuple) -> None:
    items, output = run
    for name in ("launcher-00000.json.gz", ".launcher-00001.json.gz.0123.tmp"):
        output.write_once(f"listing/{name}", b"1")
    assert [part.name for part in account(items, output).listing] == ["listing/launcher-00000.json.gz"]


def test_what_came_to_nothing_is_removed_and_nothing_else(run: tuple) -> None:
    items, output = run
    before = sorted(output.walk())
    strays = [
        "predictions/part-x.csv",
        "statistics/part-x.json",
        "predictions/.part-y.csv.0123.tmp",
        ".x.tmp",
    ]
    for name in strays:
        output.write_once(name, b"1")
    output.write_once("notes.txt", b"mine")
    remove_strays(output, account(items, output))
    assert sorted(output.walk()) == sorted([*before, "notes.txt"])
