import gc
import os
import pathlib
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitmill.storage import (
    ImageReader,
    ListedImage,
    Selection,
    Survey,
    can_list_ranges,
    list_folder,
    list_keys,
    list_place,
    open_place,
    uri_of_place,
)
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from tests.container import ORDERS, Container, serve
from tests.gcs_emulator import Bucket, Proxy
from tests.other_stores import s3_bucket


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    bucket.put("s[1]/4.png", b"x")
    for name in ("d/1.png", "d/e/2.png", "d-old/3.png", "d", "x[1].png", "x1.png", "d/e/3.jpg", "f/"):
        bucket.put(name, b"" if name.endswith("/") else b"x")
    return bucket


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ["d", "d-old/3.png", "d/1.png", "d/e/2.png", "d/e/3.jpg", "s[1]/4.png", "x1.png", "x[1].png"]),
        ("s[1]/", ["s[1]/4.png"]),
        ("d/", ["d/1.png", "d/e/2.png", "d/e/3.jpg"]),
        ("d", ["d", "d/1.png", "d/e/2.png", "d/e/3.jpg"]),
        ("d/e", ["d/e/2.png", "d/e/3.jpg"]),
        ("d/*.png", ["d/1.png"]),
        ("d/**/*.png", ["d/1.png", "d/e/2.png"]),
        ("**/[23].*", ["d-old/3.png", "d/e/2.png", "d/e/3.jpg"]),
        ("x[1].png", ["x[1].png"]),
        ("x?.png", ["x1.png"]),
    ],
)
def test_folders_patterns_and_objects(filled: Bucket, name: str, expected: list[str]) -> None:
    found = [image.uri.removeprefix(f"{filled.uri}/") for image in list_place(f"{filled.uri}/{name}")]
    assert sorted(found) == expected
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ["f", "f/", "nothing", "nothing/", "*.gif", "d/e/2"])
def test_what_matches_nothing_is_refused(filled: Bucket, name: str) -> None:
    with pytest.raises(UserError, match="input not found"):
        list(list_place(f"{filled.uri}/{name}"))


@pytest.mark.parametrize("given", ["http://host/x", "gs://", "s3:///x"])
def test_a_place_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(
        UserError, match=r"neither a path nor an address in gs://|the address names no bucket"
    ):
        list(list_place(given))


@pytest.mark.parametrize(
    "pattern", ["a/0/*", "a/*/?.png", "**/x.png", "a/**", "a/[01]/[!x]*", "a*", "a/0/x.png", "n*", "**/.*"]
)
def test_disk_and_bucket_list_alike(bucket: Bucket, tmp_path: pathlib.Path, pattern: str) -> None:
    for name in ("a/0/x.png", "a/0/y.txt", "a/1/.hidden", "a/1/z.png", "b/0/x.png", "ab"):
        bucket.put(name, name.encode())
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())

    def names(place: str) -> list[tuple[str, int]]:
        start = f"{uri_of_place(place)}/"
        try:
            return [(image.uri.removeprefix(start), image.size) for image in list_place(f"{place}/{pattern}")]
        except UserError as error:
            assert error.hint == "check the pattern" or "check the name" in error.hint
            return []

    assert names(bucket.uri) == names(str(tmp_path))


def test_a_large_object_is_opened_as_a_file(bucket: Bucket, proxy: Proxy) -> None:
    content = os.urandom(3_000_000)
    bucket.put("large", content)
    proxy.faults["large"].append("truncated")
    with open_place(f"{bucket.uri}/large") as file:
        assert file.read(10) == content[:10]
        file.seek(2_000_000)
        assert file.read() == content[2_000_000:]


@pytest.mark.parametrize("name", ["large", "in//large", "./large"])
def test_the_beginning_of_an_object_is_read_alone(bucket: Bucket, name: str) -> None:
    bucket.put(name, b"0123456789" * 100)
    (image,) = list_place(bucket.uri)
    with ImageReader() as reader:
        assert reader.read_head(image, 4) == b"0123"
        assert reader.read_head(image, 9999) == b"0123456789" * 100
        bucket.put(name, b"something else")
        with pytest.raises(ImageError) as caught:
            reader.read_head(image, 4)
    assert caught.value.code == FailureCode.CHANGED


def test_files_are_opened_by_path_and_by_uri(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").write_bytes(b"0123")
    monkeypatch.chdir(tmp_path)
    for place in ("a b", str(tmp_path / "a b"), (tmp_path / "a b").as_uri()):
        with open_place(place) as file:
            assert file.read() == b"0123"
    (image,) = list_place("a b")
    with ImageReader() as reader:
        assert reader.read_head(image, 2) == b"01"


@pytest.mark.parametrize("name", ["no", "no/such"])
def test_what_cannot_be_opened_is_refused_in_one_line(
    bucket: Bucket, tmp_path: pathlib.Path, name: str
) -> None:
    for folder in (bucket.uri, str(tmp_path)):
        with pytest.raises(UserError, match=f"cannot read the file: '{folder}/{name}'"):
            open_place(f"{folder}/{name}")


JUNK = (".DS_Store", "a/Thumbs.db", "a/._1.png", "__MACOSX/a/1.png", "manifest.json")


@pytest.mark.parametrize("place", ["in", "in/", "in/**", "i?/**"])
def test_a_bucket_s_junk_is_ignored_but_not_where_it_is_named(bucket: Bucket, place: str) -> None:
    for name in (*JUNK, "a/1.png", "b/2.png", "b/3.jpg"):
        bucket.put(f"in/{name}", b"x")
    survey = Survey(Selection(include=("in/b/*.png", "a/**", "in/a/**", "b/*.png")))
    found = [
        image.uri.removeprefix(f"{bucket.uri}/in/") for image in list_place(f"{bucket.uri}/{place}", survey)
    ]
    assert sorted(found) == ["a/1.png", "b/2.png"]
    assert survey.ignored == len(JUNK) + 1
    for name in JUNK:
        assert len(list(list_place(f"{bucket.uri}/in/{name}"))) == 1


KEYS = ["a b/1", "a/1", "a/10", "a/2", "a/5/1", "a/50", "zz", "z\U0001f600/1", "\u00e9/1"]
BOUNDS = ["", "a", "a/", "a/1", "a/1\0", "a/10", "a/5", "a/5/", "a/5/\0", "z", "\u00e9", "\ue000"]
ODD_BOUNDS = ["a//", "a/.", "a/..", "a/\x01", "a/5//", "/"]


@pytest.mark.parametrize("scheme", ["s3", pytest.param("gs", marks=pytest.mark.emulator)])
def test_keys_are_listed_between_any_bounds(
    scheme: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scheme == "s3":
        store = s3_bucket("keys", request.getfixturevalue("s3_endpoint"), monkeypatch)
    else:
        store = request.getfixturevalue("bucket")
    for key in KEYS:
        store.put(key, b"x")
    bucket = store.uri.removeprefix(f"{scheme}://")
    assert can_list_ranges(scheme, bucket)
    for start in BOUNDS + ODD_BOUNDS:
        for end in ("", "a/5", "b", "zz"):
            inside = [key for key in sorted(KEYS) if start <= key and (not end or key < end)]
            for most in (None, 2):
                found = list_keys(scheme, bucket, start=start, end=end, most=most)
                assert [image.uri.removeprefix(f"{store.uri}/") for image in found] == inside[:most], start


def test_what_is_not_listed_in_order_is_not_listed_by_ranges() -> None:
    assert not can_list_ranges("az", "container")
    assert not can_list_ranges("s3", "name--use1-az4--x-s3")


@pytest.mark.parametrize("order", ORDERS)
@given(names=st.sets(st.text(st.sampled_from("a0-./\uffff\ue000\U0001f600"), min_size=1, max_size=4)))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bucket_in_an_order_of_its_own_is_listed_in_that_of_the_names(
    order: Callable, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Container(names, order), monkeypatch)
    for folder in ("", "a/"):
        inside = [name for name in sorted(names) if name.startswith(folder) and name != folder]
        assert [image.uri for image in list_folder("az", "c", folder)] == [
            f"az://c/{name}" for name in inside
        ]
        later = [name for name in inside if name >= "a0" and name.startswith(("a", "\uffff"))]
        found = list_folder("az", "c", folder, prefixes=("a", "\uffff"), start="a0")
        assert [image.uri for image in found] == [f"az://c/{name}" for name in later]


def test_memory_does_not_grow_with_the_names_of_a_bucket_in_an_order_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Many(Container):
        def list(self, prefix: str, *, most: int | None = None, after: str = "") -> Iterator[ListedImage]:
            for number in range(self.count):
                # Backwards, and each twice.
                yield ListedImage(f"az://c/{(self.count - number) // 2:09d}.png", number, 1, checksum="x")

    def peak(count: int) -> int:
        container.count = count
        # Among the many objects of a process that runs tests, cycles are collected late.
        gc.freeze()
        tracemalloc.start()
        assert sum(1 for _ in list_place("az://c")) == count // 2 + 1
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        gc.unfreeze()
        return held

    container = Many(set())
    serve(container, monkeypatch)
    peak(2_000)  # what is made once
    few = peak(10_000)
    # Other threads of the process are traced, too.
    assert min(peak(40_000) for _ in range(3)) < 2 * few
