import gzip
import json
import pathlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from pipelines.history import incremental
from pipelines.history.block_shuffle import Block
from pipelines.history.incremental import (
    FAILED,
    LISTED,
    PASSING,
    SEVERAL,
    Bucket,
    bucket_count,
    group_buckets,
    join_bucket,
)
from pipelines.listing.frozen_listing import load_item, read_item
from pipelines.listing.work_item import ITEM_SIZE
from schemas.errors import StorageError, UserError
from schemas.layout import bucket_listing, joined_listing

URIS = st.sampled_from([f"file:///in/{letter}.png" for letter in "abcdef"])
VERSIONS = st.tuples(URIS, st.integers(0, 2))
NIGHT = st.dictionaries(VERSIONS, st.sampled_from(["scored", "failed", "passing", "vouched for"]), max_size=8)


def block(number: int, kind: str, names: list) -> Block:
    return number, kind, json.dumps(names).encode()


@given(st.lists(NIGHT, max_size=4), st.dictionaries(URIS, st.integers(0, 2)), st.booleans(), st.randoms())
def test_the_join_matches_a_sequential_reference(
    nights: list[dict], current: dict[str, int], retry: bool, order: random.Random
) -> None:
    blocks, outcome = [], {}
    for number, night in enumerate(nights):
        for version, what in night.items():
            # What was skipped keeps the outcome that it had; without one it counts as scored.
            outcome[version] = outcome.get(version, "scored") if what == "vouched for" else what
        listed = [(uri, generation, 9) for uri, generation in night]
        blocks.append(block(number, LISTED, listed))
        for kind, what in ((FAILED, "failed"), (PASSING, "passing")):
            blocks.append(block(number, kind, [version for version in night if outcome[version] == what]))
    images = [ListedImage(uri, generation, 9) for uri, generation in current.items()]
    blocks.append(block(len(nights), LISTED, images))
    order.shuffle(blocks)
    joined = join_bucket(blocks, run=len(nights), retry_failures=retry)
    expected = [
        image
        for image in images
        if outcome.get((image.uri, image.generation)) in (None, "passing")
        or (retry and outcome[image.uri, image.generation] == "failed")
    ]
    assert list(joined.todo) == sorted(expected)
    assert joined.skipped == len(images) - len(expected)
    assert set(joined.failed) == {
        (image.uri, image.generation)
        for image in images
        if image not in expected and outcome[image.uri, image.generation] == "failed"
    }


@given(
    st.lists(st.dictionaries(VERSIONS, st.tuples(st.integers(1, 9), st.integers(0, 9))), max_size=4),
    st.dictionaries(URIS, st.integers(0, 2)),
    st.randoms(),
)
def test_skipped_files_count_with_the_images_that_the_last_run_found_in_them(
    nights: list[dict], current: dict[str, int], order: random.Random
) -> None:
    blocks, last = [], {}
    for number, night in enumerate(nights):
        found = [(*version, images, min(failed, images)) for version, (images, failed) in night.items()]
        last |= {(uri, generation): counted for uri, generation, *counted in found}
        blocks += [
            block(number, LISTED, [(*version, 9) for version in night]),
            block(number, SEVERAL, found),
            block(number, FAILED, [(uri, generation) for uri, generation, _, failed in found if failed]),
        ]
    images = [ListedImage(uri, generation, 9) for uri, generation in current.items()]
    blocks.append(block(len(nights), LISTED, images))
    order.shuffle(blocks)
    joined = join_bucket(blocks, run=len(nights), retry_failures=False)
    skipped = [last[version] for version in current.items() if version in last]
    assert joined.skipped_images == sum(images for images, _ in skipped)
    assert joined.skipped_failed == sum(failed for _, failed in skipped)
    assert Bucket.from_bytes(joined.to_bytes()) == joined


def test_a_file_counts_as_the_run_that_listed_its_size_found_it() -> None:
    scan, version = "file:///in/scan.tif", ("file:///in/scan.tif", 1)
    blocks = [
        block(0, LISTED, [(*version, 10)]),
        block(0, SEVERAL, [(*version, 3, 1)]),
        block(1, LISTED, [(*version, 20)]),
        block(1, SEVERAL, [(*version, 5, 0)]),
        block(2, LISTED, [ListedImage(scan, 1, 10)]),
    ]
    assert join_bucket(blocks, run=2, retry_failures=False).several == ((*version, 3, 1),)


def test_a_bucket_of_an_earlier_version_is_read() -> None:
    older = gzip.compress(b'[[["a",1,2,-1,""]],5,[["b",3]]]')
    bucket = Bucket.from_bytes(older)
    assert bucket == Bucket((ListedImage("a", 1, 2),), 5, (("b", 3),))
    assert (bucket.skipped_images, bucket.skipped_failed) == (5, 1)


@given(st.lists(st.integers(0, 9000), max_size=60), st.integers(1, 70_000))
def test_groups_hold_every_image_once_and_are_few(counts: list[int], most: int) -> None:
    grouped = group_buckets(counts, max_size=most)
    assert [bucket for group in grouped for bucket in group] == [b for b, count in enumerate(counts) if count]
    sizes = [sum(counts[bucket] for bucket in group) for group in grouped]
    assert all(size <= most or len(group) == 1 for size, group in zip(sizes, grouped, strict=True))
    aim = min(most, max(ITEM_SIZE, -(-sum(counts) // 16)))
    assert len(grouped) <= 2 * sum(counts) / aim + 1


@given(st.lists(st.builds(ListedImage, URIS, st.integers(0, 9), st.integers(-1, 9))), st.integers(0, 9))
def test_a_bucket_round_trips(images: list[ListedImage], skipped: int) -> None:
    bucket = Bucket(tuple(images), skipped, (("a", 1),) * min(1, skipped))
    assert Bucket.from_bytes(bucket.to_bytes()) == bucket


def test_the_number_of_buckets_grows_with_the_names() -> None:
    assert bucket_count(0) == 1
    assert bucket_count(1_000_000) == 21
    assert bucket_count(10**12) == 4096


@given(st.lists(VERSIONS), st.integers(1, 7))
def test_blocks_partition_the_names(versions: list, buckets: int) -> None:
    spread: dict[str, set[int]] = {}
    found = []
    for bucket, (run, kind, packed) in incremental._blocks(versions, 3, LISTED, buckets=buckets):
        assert (run, kind) == (3, LISTED)
        for uri, generation in json.loads(packed):
            found.append((uri, generation))
            spread.setdefault(uri, set()).add(bucket)
    assert sorted(found) == sorted(versions)
    assert all(len(places) == 1 for places in spread.values())


def test_a_group_is_frozen_in_items_and_the_same_again(tmp_path: pathlib.Path) -> None:
    output = LocalFolder(tmp_path)
    images = [
        ListedImage(f"file:///{number:03d}.zip" if number == 7 else f"file:///{number:03d}", 1, 1)
        for number in range(50)
    ]
    for number in (0, 1):
        bucket = Bucket(tuple(images[number::2]), 0, ())
        output.write_once(bucket_listing(number), bucket.to_bytes())
    first = list(incremental.freeze_group(output, 4, [0, 1], run="run", max_size=20))
    again = list(incremental.freeze_group(output, 4, [0, 1], run="run", max_size=20))
    assert first == again
    assert [len(item.images) for _, item in first] == [20, 20, 10]
    assert sorted(image for _, item in first for image in item.images) == images
    assert read_item(output, joined_listing(4, 3)) is None
    assert load_item(output, (joined_listing(4, 0), 0)).images


@pytest.mark.parametrize(
    "content",
    [
        b"not gzipped",
        gzip.compress(b"[]")[:-1],
        gzip.compress(b"[]"),
        gzip.compress(b"no JSON"),
        gzip.compress(b'[[], "1", []]'),
        gzip.compress(b"[[[1]], 1, []]"),
        gzip.compress(b'[[], 1, [["file:///a"]]]'),
        gzip.compress(b'[[], 1, [[["file:///a"], 1]]]'),
    ],
)
def test_a_damaged_bucket_of_a_resumed_run_is_worded(content: bytes, tmp_path: pathlib.Path) -> None:
    output = LocalFolder(tmp_path)
    output.write_once(bucket_listing(0), content)
    with pytest.raises(UserError, match="frozen listing of the run is damaged"):
        incremental.read_bucket(output, 0)


@pytest.mark.parametrize("damage", [b"x", gzip.compress(b"[")[:-1], b""])
def test_damage_of_an_earlier_run_is_worded(damage: bytes, tmp_path: pathlib.Path) -> None:
    name = bucket_listing(0)
    LocalFolder(tmp_path).write_once(name, damage)
    file = incremental.PastListingFile(0, str(tmp_path), name, listed=False, scored=False)
    with pytest.raises(StorageError, match="files of an earlier run are missing or damaged"):
        list(incremental.past_blocks(file, buckets=1))
    with pytest.raises(StorageError, match="missing or damaged"), file.damage_reported():
        {}["file:///an/image/that/is/not/listed.png"]
