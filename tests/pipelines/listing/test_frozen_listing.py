import gzip
import itertools
import json
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitmill.storage import ImageReader, Selection, Survey, examine_bucket
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from digitmill.storage.names import uri_of
from digitmill.storage.object_stores import google
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing import bucket_ranges, frozen_listing, input_listing, key_ranges, named_images
from pipelines.listing.bucket_ranges import RemoteRange
from pipelines.listing.frozen_listing import (
    FrozenItem,
    ListingIndex,
    freeze_listing,
    frozen_items,
    list_range,
    load_item,
    read_index,
    read_range_items,
    read_sequence,
)
from pipelines.listing.input_listing import (
    Listing,
    list_images,
    list_named,
    list_with_ranges,
    read_input_list,
)
from pipelines.listing.key_ranges import KeyRange
from pipelines.listing.work_item import WorkItem
from schemas.errors import StorageError, UserError
from schemas.layout import LISTING
from tests.container import SortedBucket, serve
from tests.gcs_emulator import Bucket
from tests.other_stores import s3_bucket


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    for number in range(60):
        bucket.put(f"in/{number % 10}/{number:03d}.png", b"x")
    bucket.put("in/0/", b"")
    bucket.put("other/1.png", b"x")
    return bucket


def listed(output: LocalFolder, keys: RemoteRange, size: int = 7) -> Iterator[WorkItem]:
    for each in list_range(keys, output, run="run", folder_labels=True, size=size):
        assert not isinstance(each, RemoteRange), "without a bound the range is listed to its end"
        yield each[1]


def frozen(output: LocalFolder, keys: RemoteRange) -> list[WorkItem]:
    return [load_item(output, item.ref) for item in read_range_items(output, keys)]


def names(items: list, bucket: Bucket) -> list[str]:
    return [image.uri.removeprefix(f"{bucket.uri}/") for item in items for image in item.images]


@pytest.mark.parametrize("limit", [1, 10, 59])
@pytest.mark.parametrize("place", ["in", "in/", "in/**/*.png"])
def test_launcher_and_workers_together_list_every_name_once(
    filled: Bucket, output: LocalFolder, limit: int, place: str
) -> None:
    listing = list_with_ranges([f"{filled.uri}/{place}"], limit=limit)
    images = list(listing)
    assert len(images) == limit
    assert listing.ranges
    items = [item for keys in listing.ranges for item in listed(output, keys)]
    here = [image.uri.removeprefix(f"{filled.uri}/") for image in images]
    everything = [name for name in filled.names() if name.startswith("in/") and not name.endswith("/")]
    assert sorted(here + names(items, filled)) == sorted(everything)
    assert all(image.label == int(image.uri.split("/")[-2]) for item in items for image in item.images)


@pytest.mark.parametrize("limit", [1, 10, 40])
@pytest.mark.parametrize("place", ["in", "in/**"])
def test_launcher_and_workers_together_count_what_they_leave_out(
    filled: Bucket, output: LocalFolder, limit: int, place: str
) -> None:
    for name in (".DS_Store", "0/Thumbs.db", "5/._1.png", "9/zz/__MACOSX/1.png", "zz/manifest.json"):
        filled.put(f"in/{name}", b"junk")
    survey = Survey(Selection(exclude=("3/**",)))
    listing = list_with_ranges([f"{filled.uri}/{place}"], limit=limit, survey=survey)
    here = [image.uri.removeprefix(f"{filled.uri}/") for image in listing]
    index = ListingIndex.from_json(ListingIndex((), listing.ranges).to_json())
    assert index.ranges == listing.ranges
    # A worker that is interrupted, and one that goes on: nothing is counted twice.
    for keys in listing.ranges:
        list(itertools.islice(listed(output, keys, size=3), 2))
    items = [item for keys in index.ranges for item in listed(output, keys, size=3)]
    ignored: list[int] = []
    for keys in index.ranges:
        list(read_range_items(output, keys, ignored=ignored))
    found = sorted(here + names(items, filled))
    assert found == sorted(f"in/{number % 10}/{number:03d}.png" for number in range(60) if number % 10 != 3)
    assert survey.ignored + sum(ignored) == 5 + 6


OVERLAPPING = [
    ["in", "other"],
    ["in/0", "in", "other/1.png"],
    ["in/**/*.png", "in/3", "in/3/", "other"],
    ["in/1/001.png", "in/7", "in/1"],
    ["in/1/001.png", "in/7/057.png", "in/2"],
    ["other/1.png", "in/[02468]/*", "in/4/*4.png", "in"],
]


@pytest.mark.parametrize("limit", [1, 5, 11, 40])
@pytest.mark.parametrize("places", OVERLAPPING)
def test_several_inputs_are_listed_by_launcher_and_workers_each_name_once(
    filled: Bucket, output: LocalFolder, tmp_path: pathlib.Path, limit: int, places: list[str]
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/1.png").touch()
    filled.put("in/7/.DS_Store", b"junk")
    selection = Selection(exclude=("**/007.png", "7/047.png"))
    inputs = [*(f"{filled.uri}/{place}" for place in places), str(tmp_path / "disk")]
    alone = [image.uri for image in list_images(inputs, survey=Survey(selection))]
    listing = list_with_ranges(inputs, limit=limit, survey=Survey(selection))
    here = [image.uri for image in listing]
    index = ListingIndex.from_json(ListingIndex((), listing.ranges).to_json())
    assert index.ranges == listing.ranges
    items = [item for keys in index.ranges for item in listed(output, keys)]
    there = [image.uri for item in items for image in item.images]
    assert here[:limit] == alone[:limit]
    assert sorted(here + there) == sorted(alone)
    assert len(here) < len(alone) or not there


@pytest.mark.parametrize("limit", [1, 5, 11, 40])
@pytest.mark.parametrize(
    "places",
    [
        ["a", "b"],
        ["b", "a/0", "a"],
        ["a/**/*.png", "a/**/*.jpg", "b/"],
        ["a/**/*.png", "a/0/**", "a", "b/3", "b"],
    ],
)
def test_what_several_inputs_leave_out_is_counted_once(
    output: LocalFolder, monkeypatch: pytest.MonkeyPatch, limit: int, places: list[str]
) -> None:
    kinds = [("a", "png"), ("a", "jpg"), ("a", "txt"), ("b", "png"), ("b", "txt")]
    names = {f"{folder}/{number % 5}/{number:03d}.{kind}" for folder, kind in kinds for number in range(20)}
    bucket = SortedBucket({*names, "a/2/.DS_Store", "b/.DS_Store"}, uri="s3://stand-in")
    serve(bucket, monkeypatch)
    inputs = [f"{bucket.uri}/{place}" for place in places]
    selection = Selection(exclude=("**/*.txt", "*.txt", "0/**"))
    found = [pair for given in inputs for pair in examine_bucket(given, Survey(selection))]
    kept = {image.uri for image, taken in found if taken}
    left_out = {image.uri for image, _ in found} - kept

    survey = Survey(selection)
    assert [image.uri for image in list_images(inputs, survey=survey)] == sorted(kept)
    assert survey.ignored == len(left_out)

    survey, ignored = Survey(selection), list[int]()
    listing = list_with_ranges(inputs, limit=limit, survey=survey)
    here = [image.uri for image in listing]
    items = [item for keys in listing.ranges for item in listed(output, keys)]
    for keys in listing.ranges:
        list(read_range_items(output, keys, ignored=ignored))
    assert sorted([*here, *(image.uri for item in items for image in item.images)]) == sorted(kept)
    assert survey.ignored + sum(ignored) == len(left_out)


def test_an_input_that_leaves_out_all_of_its_files_is_refused_before_anything_is_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = SortedBucket({"a/1.png", "a/2.png", "b/1.txt", "b/2.txt"}, uri="s3://stand-in")
    serve(bucket, monkeypatch)
    survey = Survey(Selection(include=("*.png",)))
    listing = list_with_ranges([f"{bucket.uri}/a", f"{bucket.uri}/b"], limit=1, survey=survey)
    with pytest.raises(UserError, match=r"the input holds no images: 's3://stand-in/b'.* 2 files"):
        listing.begin()


def test_workers_look_up_what_an_input_list_names(
    filled: Bucket, output: LocalFolder, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_listing, "_NAMES_OF_A_FILE", 7)
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    named = [f"{filled.uri}/{name}" for name in [*filled.names()[1:30:2], "gone.png"]]
    path = tmp_path / "list.txt"
    path.write_text("\n".join([*named, "a.png", "b.png", named[3], ""]))
    alone = read_input_list(str(path))
    listing = list_named(str(path), limit=1)
    index = ListingIndex.from_json(ListingIndex((), listing.ranges).to_json())
    here = sum(item.images for item in freeze_listing(listing, output, run="run"))
    assert here == 2  # local files
    assert read_index(output).ranges == index.ranges
    # A worker dies, another one goes on.
    begun = list(itertools.islice(listed(output, index.ranges[0], size=3), 1))
    items = [item for keys in index.ranges for item in listed(output, keys, size=3)]
    assert items[:1] == begun
    assert len(index.ranges) == 3
    found = [image for item in items for image in item.images]
    assert [image.uri for image in found] == [image.uri for image in alone[2:]]
    assert {image.uri: image.size for image in found} == {image.uri: image.size for image in alone[2:]}
    assert [item for keys in index.ranges for item in frozen(output, keys)] == items


def test_workers_look_names_up_within_the_runs_limits(
    output: LocalFolder, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    class Reader(ImageReader):
        def __init__(self, limits: ReadLimits | None = None) -> None:
            used.append(limits)
            super().__init__(limits)

    monkeypatch.setattr(named_images, "ImageReader", Reader)
    (tmp_path / "a.png").touch()
    output.write_once("names", gzip.compress(json.dumps([uri_of(bytes(tmp_path / "a.png"))]).encode()))
    keys, limits = RemoteRange("", KeyRange("", ""), "", names="names"), ReadLimits(processes=7)
    assert len(list(list_range(keys, output, run="run", folder_labels=False, limits=limits))) == 1
    assert used == [limits]


@pytest.mark.parametrize("limit", [1, 4])
def test_a_bucket_of_s3_is_left_to_workers_too(
    output: LocalFolder, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    store = s3_bucket(f"ranges{limit}", s3_endpoint, monkeypatch)
    for name in (
        "in/1.png",
        "in/10.png",
        "in/1/x.png",
        "in/2.png",
        "in/\u00e9.png",
        "in/\U0001f600.png",
        "z",
    ):
        store.put(name, b"x")
    inputs = [f"{store.uri}/in", f"{store.uri}/z"]
    listing = list_with_ranges(inputs, limit=limit)
    here = [image.uri for image in listing]
    assert len(here) == limit + 1  # and the single object
    there = [
        image for keys in listing.ranges for item in listed(output, keys, size=2) for image in item.images
    ]
    assert sorted(here + [image.uri for image in there]) == [image.uri for image in list_images(inputs)]
    assert all(image.checksum and image.generation for image in there)


def test_a_small_folder_is_listed_by_the_launcher(filled: Bucket) -> None:
    listing = list_with_ranges([f"{filled.uri}/in"])
    assert len(list(listing)) == 60
    assert listing.ranges == ()


def test_a_repeated_listing_gives_the_same_items(filled: Bucket, output: LocalFolder) -> None:
    keys = RemoteRange(filled.name, KeyRange("in/", "in0"), "")
    first = list(listed(output, keys))
    filled.put("in/0/0000.png", b"new")
    filled.delete("in/5/055.png")
    assert list(listed(output, keys)) == frozen(output, keys) == first


@pytest.mark.parametrize("done", [1, 3])
def test_an_interrupted_range_continues(filled: Bucket, output: LocalFolder, done: int) -> None:
    keys = RemoteRange(filled.name, KeyRange("in/", "in0"), "")
    begun = list(itertools.islice(listed(output, keys), done))
    with pytest.raises(FileNotFoundError):
        frozen(output, keys)
    filled.delete("in/0/000.png")
    filled.put("in/9/0590.png", b"new")
    items = list(listed(output, keys))
    assert items[:done] == begun
    assert "in/0/000.png" in names(items, filled)
    assert "in/9/0590.png" in names(items, filled)
    found = names(items, filled)
    assert len(found) == len(set(found))


def test_two_workers_on_one_range_get_the_same_items(
    filled: Bucket, output: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = RemoteRange(filled.name, KeyRange("in/", "in0"), "")
    one, other = listed(output, keys, size=7), listed(output, keys, size=11)
    pairs = list(itertools.zip_longest(one, other))
    assert all(first == second for first, second in pairs)


def test_a_range_without_names_ends_at_once(filled: Bucket, output: LocalFolder) -> None:
    keys = RemoteRange(filled.name, KeyRange("zzz", ""), "")
    assert list(listed(output, keys)) == frozen(output, keys) == []
    assert len(output.names(LISTING)) == 1


def test_archives_have_their_own_references(bucket: Bucket, output: LocalFolder) -> None:
    for name in ("1.png", "2.zip", "3.png", "4.tar"):
        bucket.put(name, b"x")
    keys = RemoteRange(bucket.name, KeyRange("", ""), "")
    listing = list_range(keys, output, run="run", folder_labels=True)
    refs = [each.ref for listed in listing for each in frozen_items(*listed)]
    items = [load_item(output, ref) for ref in refs]
    assert [[image.uri.rpartition("/")[2] for image in item.images] for item in items] == [
        ["1.png", "3.png"],
        ["2.zip"],
        ["4.tar"],
    ]
    assert frozen(output, keys) == items


def test_the_launchers_listing_is_frozen(
    digit_folder: pathlib.Path, items_of: Callable, output: LocalFolder
) -> None:
    items = tuple(freeze_listing(Listing(list_images([str(digit_folder)])), output, run="run", most=100))
    assert [load_item(output, item.ref) for item in items] == items_of(digit_folder, 100)
    assert [item.images for item in items] == [100] * 5
    assert output.names(LISTING) == {"index.json", *(f"launcher-{number:05d}.json.gz" for number in range(5))}
    assert read_index(output) == ListingIndex(items)


def test_the_index_says_what_was_left_out_and_older_ones_are_read(
    digit_folder: pathlib.Path, output: LocalFolder
) -> None:
    survey = Survey(Selection(exclude=("0/**",)))
    images = list_images([str(digit_folder)], survey=survey)
    items = tuple(freeze_listing(Listing(images, survey=survey), output, run="run"))
    index = read_index(output)
    assert index.ignored == 500 - sum(item.images for item in items) > 0
    assert ListingIndex.from_json('{"items":[],"ranges":[],"buckets":0}') == ListingIndex(())
    older = '{"items":[],"ranges":[{"bucket":"b","keys":{"start":"a","end":""},"pattern":""}],"buckets":0}'
    assert ListingIndex.from_json(older).ranges == (RemoteRange("b", KeyRange("a", ""), ""),)


def test_an_interrupted_listing_is_repeated(digit_folder: pathlib.Path, output: LocalFolder) -> None:
    cut_off = freeze_listing(Listing(list_images([str(digit_folder)])), output, run="run", most=7)
    assert [item.images for item in itertools.islice(cut_off, 5)] == [7] * 5
    assert read_index(output) is None
    again = list(freeze_listing(Listing(list_images([str(digit_folder)])), output, run="run", most=400))
    assert output.names(LISTING) == {"index.json", "launcher-00000.json.gz", "launcher-00001.json.gz"}
    assert sum(item.images for item in again) == 500


def freezing(output: LocalFolder, name: str, **more: Callable) -> Iterator[FrozenItem]:
    """A launcher that lists five images, one a work item."""
    images = [ListedImage(f"file:///{name}/{number}.png", 1, 1) for number in range(5)]
    return freeze_listing(Listing(iter(images)), output, run="run", most=1, **more)


@pytest.mark.parametrize("written", [0, 2, 5])
def test_a_launcher_that_lost_its_output_writes_nothing_more(output: LocalFolder, written: int) -> None:
    held = True

    def confirm() -> None:
        if not held:
            raise StorageError("another launcher has it", value="out", hint="wait")

    output.write_once("listing/launcher-00000.json.gz", b"of a listing before")
    items = freezing(output, "mine", confirm=confirm)
    assert len(list(itertools.islice(items, written))) == written
    before, held = output.names(LISTING), False
    with pytest.raises(StorageError, match="another launcher has it"):
        next(items)
    assert output.names(LISTING) == before


def test_of_two_launchers_that_list_at_once_none_takes_a_file_of_the_other_for_its_own(
    output: LocalFolder,
) -> None:
    one, other = freezing(output, "one"), freezing(output, "other")
    next(one)
    next(other)  # removes the other's file
    next(one)
    with pytest.raises(StorageError, match=r"another launcher.*launcher-00001"):
        next(other)


def test_a_launcher_whose_file_is_removed_while_it_lists_stops(
    output: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalFolder, "write_once", lambda *_: None)
    with pytest.raises(StorageError, match=r"another launcher.*launcher-00000"):
        next(freezing(output, "mine"))


def test_a_launcher_does_not_take_the_index_of_another_for_its_own(output: LocalFolder) -> None:
    items = freezing(output, "mine")
    assert len(list(itertools.islice(items, 5))) == 5
    output.write_once("listing/index.json", ListingIndex(()).to_json().encode())
    with pytest.raises(StorageError, match=r"another launcher.*index"):
        next(items)


def test_an_index_round_trips(output: LocalFolder) -> None:
    keys = RemoteRange("bucket", KeyRange("a", "b"), "a/*.png")
    item = FrozenItem("listing/launcher-00000.json.gz", 1, "abc", 7, may_be_archive=True)
    index = ListingIndex((item,), (keys,), buckets=3)
    assert ListingIndex.from_json(index.to_json()) == index


class Names(list):
    """A bucket's names, listed as the store would; `starts` has where each listing began."""

    def __init__(self, *names: str) -> None:
        super().__init__(names)
        self.starts: list[str] = []

    def list_objects(self, bucket: str, *, start: str, end: str, most: int | None) -> Iterator[ListedImage]:
        self.starts.append(start)
        inside = (name for name in sorted(self) if start <= name and (not end or name < end))
        for name in itertools.islice(inside, most):
            yield ListedImage(f"gs://{bucket}/{name}", 1, 0 if name.endswith("/") else 1)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names("a/", "a/1", "a/1.png", "a/10.png", "a/2.jpg", "a/2.png", "b.png")
    monkeypatch.setattr(google, "list_objects", names.list_objects)
    return names


def test_a_worker_continues_after_the_last_frozen_name(stored: Names, output: LocalFolder) -> None:
    keys = RemoteRange("bucket", KeyRange("a/", "a0"), "")
    begun = next(listed(output, keys, size=1))
    items = [begun, *itertools.islice(listed(output, keys, size=2), 1, None)]
    names = [[image.uri.removeprefix("gs://bucket/a/") for image in item.images] for item in items]
    assert names == [["1"], ["1.png", "10.png"], ["2.jpg", "2.png"]]


def test_a_range_is_listed_by_one_request(stored: Names, output: LocalFolder) -> None:
    keys = RemoteRange("bucket", KeyRange("a/", "a0"), "a/*.png")
    assert [len(item.images) for item in listed(output, keys, size=1)] == [1, 1, 1]
    assert stored.starts == ["a/"]


PLACES = st.text(st.sampled_from("ab/0\u00e9\U0001f600"), min_size=1, max_size=5).filter(
    lambda name: not name.endswith("/")
)


def listed_in_rounds(
    keys: RemoteRange, output: LocalFolder, *, size: int, most: int, rounds: int = 4
) -> tuple[list[str], list[int]]:
    """List as workers do in rounds; return the names, and for each round its number of ranges."""
    found, waiting, widths = [], [keys], []
    for number in range(rounds):
        bound = most if number < rounds - 1 else None
        widths.append(len(waiting))
        handed_on = []
        for each in waiting:
            for listed in list_range(each, output, run="run", folder_labels=False, size=size, most=bound):
                if isinstance(listed, RemoteRange):
                    handed_on.append(listed)
                else:
                    found += [image.uri.removeprefix("gs://bucket/") for image in listed[1].images]
        waiting = handed_on
    assert not waiting
    return found, widths


@given(st.sets(PLACES), st.sets(PLACES), st.integers(1, 4), st.integers(1, 6), st.integers(0, 9))
@settings(deadline=None)
def test_a_range_that_is_handed_on_lists_each_name_once(
    names: set[str], changed: set[str], size: int, most: int, done: int
) -> None:
    keys, stored = RemoteRange("bucket", KeyRange("", ""), ""), Names(*names)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(google, "list_objects", stored.list_objects)
        patch.setattr(frozen_listing, "MIN_SPLIT", 1)
        patch.setattr(bucket_ranges, "PAGE", 2)
        patch.setattr(key_ranges, "PAGE", 2)
        output = LocalFolder(pathlib.Path(folder))
        # A worker dies, and objects appear and vanish before another one does its work again.
        begun = list(
            itertools.islice(
                list_range(keys, output, run="run", folder_labels=False, size=size, most=most), done
            )
        )
        stored[:] = names ^ changed
        again = list_range(keys, output, run="run", folder_labels=False, size=size, most=most)
        assert list(itertools.islice(again, len(begun))) == begun
        found, _ = listed_in_rounds(keys, output, size=size, most=most)
        assert len(found) == len(set(found))
        assert names - changed <= set(found) <= names | changed
        # Whoever lists once more gets the same, whatever the bucket holds by then.
        stored.clear()
        assert listed_in_rounds(keys, output, size=size, most=most)[0] == found
        frozen_names = [
            image.uri.removeprefix("gs://bucket/") for item in frozen(output, keys) for image in item.images
        ]
        assert sorted(frozen_names) == sorted(found)


def test_a_range_that_holds_nearly_all_names_is_shared(
    output: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(*(f"in/{folder}/{number:05d}.png" for folder in "ab" for number in range(2000)))
    monkeypatch.setattr(google, "list_objects", names.list_objects)
    monkeypatch.setattr(bucket_ranges, "PAGE", 20)
    monkeypatch.setattr(key_ranges, "PAGE", 20)
    monkeypatch.setattr(frozen_listing, "MIN_SPLIT", 50)
    keys = RemoteRange("bucket", KeyRange("in/", "in0"), "")
    found, widths = listed_in_rounds(keys, output, size=50, most=100)
    assert sorted(found) == names
    assert widths[0] == 1
    assert 16 <= widths[1] <= 64
    output.delete(f"{LISTING}/{min(output.names(LISTING))}")
    with pytest.raises(FileNotFoundError):
        frozen(output, keys)


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_no_worker_lists_more_than_its_share_of_folders_of_very_different_sizes(
    output: LocalFolder, monkeypatch: pytest.MonkeyPatch, exponent: float
) -> None:
    weights = [1 / (rank + 1) ** exponent for rank in range(100)]
    names = Names(
        *(
            f"in/{'x' * (rank % 5)}{rank}/{number:06d}.png"
            for rank, weight in enumerate(weights)
            for number in range(max(1, int(8000 * weight / sum(weights))))
        )
    )
    monkeypatch.setattr(google, "list_objects", names.list_objects)
    # 8,000 names are to pages of 4 what 2,000,000 are to those of a store.
    for module in (bucket_ranges, key_ranges):
        monkeypatch.setattr(module, "PAGE", 4)
    monkeypatch.setattr(frozen_listing, "MIN_SPLIT", 20)
    first = RemoteRange("bucket", KeyRange("", ""), "")
    waiting, sizes = first.split("", num_ranges=64), list[int]()
    for _ in range(frozen_listing.LIST_ROUNDS):
        handed_on = []
        for keys in waiting:
            listed = list(list_range(keys, output, run="run", folder_labels=False, size=50, most=200))
            sizes.append(sum(len(each[1].images) for each in listed if not isinstance(each, RemoteRange)))
            handed_on += [each for each in listed if isinstance(each, RemoteRange)]
        waiting = handed_on
    assert not waiting
    assert sum(sizes) == len(names)
    assert max(sizes) <= 250  # what is left after 200 may be too little to hand on


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("items", [["a", "0", "d", 1, False]]),
        ("items", [[[], 0, "d", 1, False]]),
        ("buckets", "2"),
        ("ignored", None),
        ("ranges", [{"bucket": "b", "keys": {"start": 1, "end": ""}, "pattern": ""}]),
    ],
)
def test_an_index_with_values_of_other_types_is_refused(name: str, content: object) -> None:
    text = json.dumps(json.loads(ListingIndex(()).to_json()) | {name: content})
    with pytest.raises(ValueError, match="wrong fields for"):
        ListingIndex.from_json(text)


@pytest.mark.parametrize("content", [b"x", gzip.compress(b'["d", [[1, 2, 3]]]'), gzip.compress(b"[1, []]")])
def test_a_damaged_listing_file_is_worded(content: bytes, output: LocalFolder) -> None:
    output.write_once("listing/x", content)
    with pytest.raises(UserError, match="frozen listing of the run is damaged"):
        list(read_sequence(output, lambda _: "listing/x"))
