"""Buckets that cannot be listed from any name on, listed by launcher and workers together."""

import itertools
import json
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitmill.storage import Selection, Survey
from digitmill.storage.local_output import LocalFolder
from pipelines.listing import bucket_ranges, folder_ranges, frozen_listing
from pipelines.listing.bucket_ranges import RemoteRange
from pipelines.listing.folder_ranges import FolderPart
from pipelines.listing.frozen_listing import (
    ListingIndex,
    freeze_listing,
    list_range,
    load_item,
    read_index,
    read_range_items,
)
from pipelines.listing.input_listing import list_images, list_with_ranges
from pipelines.listing.key_ranges import KeyRange
from schemas.errors import UserError
from tests.container import ORDERS, Container, serve
from tests.other_stores import Store


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FIRST", 16), ("_LEAST_MEAN", 2)):
        monkeypatch.setattr(folder_ranges, name, value)
    monkeypatch.setattr(bucket_ranges, "LARGE_FOLDER", 6)
    monkeypatch.setattr(frozen_listing, "MIN_SPLIT", 4)


NAMES = {
    *(f"in/{digit}/{number:03d}.png" for digit in range(10) for number in range(6)),
    *(f"in/0/deep/{'er/' * (number % 4)}{number}.png" for number in range(30)),
    *("in/0", "in/0-", "in/0.png", "in/00", "in/\ue000.png", "in/\U0001f600/1.png", "in/\uffff/1.png"),
    *("in/.DS_Store", "in/3/Thumbs.db", "in/\U0001f600/._1.png"),
    *("other/1.png", "in.png", "in-/1.png"),
}


def work(output: LocalFolder, keys: RemoteRange, most: int | None = None) -> Iterator[RemoteRange]:
    """List a range and yield those that it is split into."""
    for each in list_range(keys, output, run="run", folder_labels=True, size=3, most=most):
        if isinstance(each, RemoteRange):
            yield each


def frozen(output: LocalFolder, keys: RemoteRange, ignored: list[int] | None = None) -> list[str]:
    items = (load_item(output, item.ref) for item in read_range_items(output, keys, ignored=ignored))
    return [image.uri for item in items for image in item.images]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("most", [None, 5])
@pytest.mark.parametrize(
    "places",
    [
        ["in"],
        [""],
        ["in/**/*.png"],
        ["in/[02468]/*", "in/4/*4.png", "in/0"],
        ["in/1/001.png", "in/7", "in/1", "in"],
        ["in/1/001.png", "in/7", "in-", "in.png", "other/1.png", "in/0/d*/*.png"],
    ],
)
def test_launcher_and_workers_together_list_every_name_once_and_count_what_is_ignored(
    order: Callable, most: int | None, places: list[str], output: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Container(NAMES, order), monkeypatch)
    inputs = [f"az://c/{place}" for place in places]
    selection = Selection(exclude=("**/003.png", "5/*"))
    alone = [image.uri for image in list_images(inputs, survey=Survey(selection))]
    survey = Survey(selection)
    listing = list_with_ranges(inputs, limit=5, survey=survey)
    here = [image.uri for image in listing]
    ranges = ListingIndex.from_json(ListingIndex((), listing.ranges).to_json()).ranges
    assert ranges == listing.ranges
    for keys in ranges:  # a worker that dies, and one that goes on
        next(list_range(keys, output, run="run", folder_labels=True, size=2, most=most), None)
    left = [each for keys in ranges for each in work(output, keys, most)]
    while left:
        left = [each for keys in left for each in work(output, keys, most)]
    ignored: list[int] = []
    found = [frozen(output, keys, ignored) for keys in ranges]
    assert all(names == sorted(names) for names in found) or most
    assert sorted(itertools.chain(here, *found)) == sorted(alone)
    assert {*here} == {f"az://c/{place}" for place in places if place in NAMES}.difference(*found)
    if len(places) == 1:
        expected = Survey(selection)
        list(list_images(inputs, survey=expected))
        assert survey.ignored + sum(ignored) == expected.ignored


@given(st.sets(st.sampled_from(sorted(NAMES)), min_size=1), st.integers(0, 30))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_small_buckets_are_listed_by_the_launcher_beside_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, names: set[str], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("disk")
    for number in range(3):
        (folder / f"{number}.png").touch()
    serve(Container(names), monkeypatch)
    inputs = [str(folder), "az://c"]
    try:
        alone = list(list_images(inputs))
    except UserError:
        return  # nothing but junk
    listing = list_with_ranges(inputs, limit=limit)
    here = list(listing)
    assert here == alone if not listing.ranges else here == alone[:3]
    assert bool(listing.ranges) == (len(alone) - 3 > limit)


@pytest.mark.parametrize("empty", ["typo", "in/*.jpg", "in/0/001.jpg"])
def test_an_input_that_holds_nothing_is_an_error_also_beside_a_large_one(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Container(NAMES), monkeypatch)
    with pytest.raises(UserError, match="input not found") as caught:
        list(list_with_ranges(["az://c/in", f"az://c/{empty}"], limit=3))
    assert caught.value.value == f"az://c/{empty}"


def test_what_workers_list_of_a_directory_bucket_begins_below_its_folders(
    output: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = Container(NAMES, uri="s3://b--use1-az4--x-s3")
    serve(container, monkeypatch)
    listing = list_with_ranges([container.uri], limit=3)
    assert list(listing) == []
    assert len(listing.ranges) > 5
    container.read.clear()
    container.read[None] = 0
    for keys in listing.ranges:
        assert not list(work(output, keys))
    assert not {"", "in/", "in/0/"} & container.read.keys()


def test_names_that_appear_are_in_one_range_and_a_repeated_listing_is_the_same(
    output: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = Container(set(NAMES))
    serve(container, monkeypatch)
    listing = list_with_ranges(["az://c/in"], limit=3)
    list(freeze_listing(listing, output, run="run"))
    container.names |= {"in/new/1.png", "in/0/new.png", "in/00new.png", "in/\U0010ffff"}
    index = read_index(output)
    for keys in index.ranges:
        list(work(output, keys))
    first = [frozen(output, keys) for keys in index.ranges]
    for name in ("new/1.png", "0/new.png", "00new.png", "\U0010ffff"):
        assert [*itertools.chain(*first)].count(f"az://c/in/{name}") == 1
    container.names |= {"in/new/2.png"}
    for keys in index.ranges:
        list(work(output, keys))
    assert [frozen(output, keys) for keys in index.ranges] == first


def test_a_worker_splits_a_large_folder_before_it_lists_it(
    output: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = Container(NAMES)
    serve(container, monkeypatch)
    monkeypatch.setattr(bucket_ranges, "NUM_RANGES", 1)
    listing = list_with_ranges(["az://c/in/0/"], limit=3)
    assert list(listing) == []
    (keys,) = listing.ranges
    container.read["in/0/"] = 0
    parts = list(work(output, keys, most=100))
    assert [each.part and each.part.folder for each in parts] == ["in/0/", "in/0/deep/"]
    assert container.read["in/0/"] < 36
    assert list(work(output, keys, most=100)) == parts


def test_a_flat_folder_is_one_range_that_a_worker_lists_to_its_end(
    output: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"in/{number}.png" for number in range(50)}
    serve(Container(names), monkeypatch)
    listing = list_with_ranges(["az://c/in"], limit=3)
    assert list(listing) == []
    (keys,) = listing.ranges
    assert not list(work(output, keys, most=5))
    assert frozen(output, keys) == sorted(f"az://c/{name}" for name in names)


def test_ranges_of_other_buckets_are_written_as_before() -> None:
    keys = RemoteRange("b", KeyRange("a", "b"), "")
    (written,) = json.loads(ListingIndex((), (keys,)).to_json())["ranges"]
    assert "part" not in written
    parted = RemoteRange(
        "b", KeyRange("a/", "a0"), "", part=FolderPart("a/", one_by_one=True, apart=("a/b/",))
    )
    index = ListingIndex((), (keys, parted))
    assert ListingIndex.from_json(index.to_json()) == index


@pytest.mark.parametrize("limit", [2, 100])
def test_a_real_store_s_folders_are_spread(
    other_store: Store, output: LocalFolder, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_ranges, "can_list_ranges", lambda *_: False)
    monkeypatch.setattr("pipelines.listing.input_listing.can_list_ranges", lambda *_: False)
    monkeypatch.setattr("digitmill.storage.places.can_list_ranges", lambda *_: False)
    names = sorted(name for name in NAMES if not name.startswith("in/0/deep") or "er/" not in name)
    names.remove("in/\uffff/1.png")  # no character of XML: Azure's emulator fails to list it
    for name in names:
        other_store.put(name, b"x")
    inputs = [f"{other_store.uri}/in", f"{other_store.uri}/other/1.png"]
    listing = list_with_ranges(inputs, limit=limit)
    here = [image.uri for image in listing]
    assert len(listing.ranges) > 5 if limit == 2 else not listing.ranges
    for keys in listing.ranges:
        assert not list(work(output, keys))
    found = [*here, *(uri for keys in listing.ranges for uri in frozen(output, keys))]
    assert sorted(found) == sorted(image.uri for image in list_images(inputs))
    junk = ("Thumbs.db", ".DS_Store", "._1.png")
    expected = [name for name in names if name.startswith(("in/", "other/")) and not name.endswith(junk)]
    assert sorted(found) == sorted(f"{other_store.uri}/{name}" for name in expected)
