import collections
import dataclasses
import hashlib
import json
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
from pipelines.listing.bucket_ranges import RemoteRange
from pipelines.listing.frozen_listing import ListingIndex, frozen_items, write_item
from pipelines.listing.key_ranges import KeyRange
from pipelines.listing.work_item import WorkItem, pack_items
from pipelines.output.reconcile import Reconciliation, reconcile, remove_unreferenced
from pipelines.scoring.classify import Classifier
from pipelines.scoring.scorer import Scorer
from schemas.errors import StorageError, UnreconciledError
from schemas.layout import bucket_listing, range_listing, statistics_name
from tests.lost_hold import LostHold, watch_changes


@pytest.fixture
def run(
    mixed_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable, tmp_path: pathlib.Path
) -> tuple[list[WorkItem], LocalFolder]:
    items = items_of(mixed_folder, 20)
    (tmp_path / "out").mkdir()
    for item in items:
        classifier = Classifier(engine, accept_threshold=0.9)
        Scorer(classifier, ImageReader(), output=LocalFolder(tmp_path / "out")).run(item)
    return items, LocalFolder(tmp_path / "out")


def reconciliation(items: list[WorkItem], output: LocalFolder) -> Reconciliation:
    frozen = ListingIndex(tuple(named for item in items for named in frozen_items("x", item)))
    return reconcile(frozen, output=output, most=4096)


def test_a_complete_run_adds_up(run: tuple) -> None:
    items, output = run
    statistics = reconciliation(items, output).statistics
    assert statistics.scored + len(statistics.failures) == sum(len(item.images) for item in items) == 65


def test_a_missing_record_is_reported(run: tuple) -> None:
    items, output = run
    (output.path / statistics_name(items[1].digest)).unlink()
    with pytest.raises(
        UnreconciledError, match=rf"with 20 images: statistics/part-{items[1].digest}.json.*--resume"
    ):
        reconciliation(items, output)


def test_a_damaged_record_is_reported(run: tuple) -> None:
    items, output = run
    record = output.path / statistics_name(items[0].digest)
    record.write_bytes(record.read_bytes()[:-10])
    with pytest.raises(UnreconciledError, match=rf"part-{items[0].digest}.json.*into a new output"):
        reconciliation(items, output)


def test_a_record_that_lost_an_image_is_reported(run: tuple) -> None:
    items, output = run
    short = [dataclasses.replace(item, images=item.images[:-1]) for item in items]
    with pytest.raises(UnreconciledError, match="does not add up: 19 names, 20 listed"):
        reconciliation(short, output)


def test_a_missing_prediction_file_is_reported(run: tuple) -> None:
    items, output = run
    gone = min(output.names("predictions"))
    (output.path / "predictions" / gone).unlink()
    with pytest.raises(UnreconciledError, match=f"1 prediction files are missing, first predictions/{gone}"):
        reconciliation(items, output)


def test_one_bucket_of_the_join_is_in_memory_at_a_time(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, buckets = LocalFolder(tmp_path), 6
    items = []
    for number in range(buckets):
        image = ListedImage(f"file:///{number}.png", 1, 1)
        output.write_once(bucket_listing(number), Bucket((image,), 0, ()).to_bytes())
        items += pack_items([image], "run")
    for group, numbers in enumerate(incremental.group_buckets([1] * buckets, max_size=4096)):
        list(incremental.freeze_group(output, group, numbers, run="run", max_size=4096))
    alive: weakref.WeakSet[Bucket] = weakref.WeakSet()
    most = []

    def read(*given: object) -> Bucket:
        bucket = real(*given)
        alive.add(bucket)
        most.append(len(alive))
        return bucket

    real = incremental.read_bucket
    monkeypatch.setattr(incremental, "read_bucket", read)
    frozen = ListingIndex(
        tuple(named for item in items for named in frozen_items("x", item)), buckets=buckets
    )
    with pytest.raises(UnreconciledError, match="no statistics record of a work item"):
        reconcile(frozen, output=output, most=4096)
    assert len(most) == buckets
    assert max(most) <= 2  # the next one is made before the one before is let go


def test_each_listing_file_is_read_once(run: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    items, output = run
    keys = RemoteRange("bucket", KeyRange("a", "b"), "")
    digest = hashlib.sha256(json.dumps(["bucket", "a", "b", ""]).encode()).hexdigest()[:16]
    for number, item in enumerate([*items, None]):
        write_item(output, range_listing(digest, number), item)
    reads: collections.Counter[str] = collections.Counter()

    def read(folder: LocalFolder, name: str) -> bytes:
        reads[name] += 1
        return real(folder, name)

    real = LocalFolder.read
    monkeypatch.setattr(LocalFolder, "read", read)
    account = reconcile(ListingIndex((), (keys,)), output=output, most=4096)
    assert {part.name for part in account.listing} == {
        range_listing(digest, number) for number in range(len(items) + 1)
    }
    assert set(reads.values()) == {1}


def test_the_proof_is_part_of_the_manifest(run: tuple) -> None:
    items, output = run
    proof = reconciliation(items, output)
    assert sorted(part.name for part in proof.records) == sorted(
        statistics_name(item.digest) for item in items
    )
    for part in proof.parts:
        data = output.read(part.name)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (part.bytes, part.sha256)


def test_an_unfinished_range_is_unreconciled(run: tuple) -> None:
    items, output = run
    for name in ("launcher-00000.json.gz", ".launcher-00001.json.gz.0123.tmp"):
        output.write_once(f"listing/{name}", b"1")
    assert [part.name for part in reconciliation(items, output).listing] == ["listing/launcher-00000.json.gz"]


def test_only_unreferenced_files_are_removed(run: tuple) -> None:
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
    remove_unreferenced(output, reconciliation(items, output))
    assert sorted(output.walk()) == sorted([*before, "notes.txt"])


def test_a_launcher_that_lost_its_output_removes_nothing_more(
    run: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, output = run
    account, changes = reconciliation(items, output), watch_changes(monkeypatch)
    strays = ["models/x/card.json", "predictions/part-x.csv", "statistics/part-x.json", ".x.tmp"]
    for most in range(len(strays)):
        for name in strays:
            output.write_once(name, b"1")
        changes.clear()
        with pytest.raises(StorageError, match="no longer holds its output"):
            remove_unreferenced(output, account, confirm=LostHold(changes, most).confirm)
        assert len(changes) == most
