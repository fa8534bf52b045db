import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitmill.storage.listed_image import ListedImage
from pipelines.listing import folder_ranges
from pipelines.listing.folder_ranges import FolderPart, FolderSplitter, Part, list_part
from pipelines.listing.key_ranges import KeyRange, prefix_end
from tests.container import ORDERS, Container

# What sorts around a slash, and where the orders of UTF-8 and UTF-16 differ.
SEGMENTS = st.text(st.sampled_from("ab-0\uffff\ue000\U0001f600"), min_size=1, max_size=2)
SEGMENTS |= st.sampled_from([".a", "a.", "a!b"])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
MANY = st.sets(NAMES, max_size=40)
FOLDERS = st.sampled_from(["", "a/", "b/", "a/a/"])


@pytest.fixture(autouse=True, params=[(2, 1, 3), (3, 2, 100), (5000, 25, 1000)])
def bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(("FIRST", "_LEAST_MEAN", "_MOST_LOOKED_INTO"), request.param, strict=True):
        monkeypatch.setattr(folder_ranges, name, value)


def splitter(container: Container) -> FolderSplitter:
    def first_names(folder: str, most: int) -> Iterator[str]:
        return (image.uri.removeprefix(f"{container.uri}/") for image in container.list(folder, most=most))

    return FolderSplitter(first_names, lambda folder: container.level(folder).folders)


def listed(container: Container, part: Part, start: str = "") -> list[str]:
    def list_folder(folder: str, start: str) -> list[ListedImage]:
        inside = [image for image in container.list(folder) if image.uri >= f"{container.uri}/{start}"]
        return sorted(inside)

    keys, how = part
    images = list_part(keys, how, max(start, keys.start), list_folder=list_folder, level=container.level)
    return [image.uri.removeprefix(f"{container.uri}/") for image in images]


def whole(folder: str) -> Part:
    return KeyRange(folder, prefix_end(folder)), FolderPart(folder)


def inside(names: set[str], folder: str) -> list[str]:
    return sorted(name for name in names if name.startswith(folder) and name != folder)


def assert_once(found: Sequence[Sequence[str]], expected: Sequence[str]) -> None:
    assert all(list(names) == sorted(names) for names in found)
    assert sorted(itertools.chain.from_iterable(found)) == sorted(expected)


@pytest.mark.parametrize("order", ORDERS)
@given(MANY, MANY, MANY, FOLDERS, st.integers(1, 12), st.integers(1, 6))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_name_is_in_one_range_and_in_order_also_one_that_comes_or_goes(
    order: Callable, names: set[str], more: set[str], fewer: set[str], folder: str, ranges: int, least: int
) -> None:
    container = Container(names, order)
    parts = splitter(container).split(*whole(folder), num_ranges=ranges, least=least)
    container.names = (names | more) - fewer
    assert_once([listed(container, part) for part in parts], inside(container.names, folder))


@pytest.mark.parametrize("order", ORDERS)
@given(MANY, MANY, FOLDERS, st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_range_goes_on_after_any_name_whole_or_split(
    order: Callable, names: set[str], more: set[str], folder: str, data: st.DataObject
) -> None:
    container = Container(names, order)
    parts = splitter(container).split(*whole(folder), num_ranges=data.draw(st.integers(1, 12)))
    container.names = names | more
    for keys, how in parts:
        found = listed(container, (keys, how))
        if found:
            start = f"{data.draw(st.sampled_from(found))}\0"
            rest = [name for name in found if name > start]
            assert listed(container, (keys, how), start) == rest
            deeper = splitter(container).split(KeyRange(start, keys.end), how, num_ranges=5)
            assert_once([listed(container, part) for part in deeper], rest)


def tree(sizes: Sequence[int], folder: str = "in/{:04d}/") -> set[str]:
    return {
        f"{folder.format(place)}{number:06d}.png"
        for place, size in enumerate(sizes)
        for number in range(size)
    }


@pytest.fixture
def pages_of_fifty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make 50 names to the test what 5,000 are to a store."""
    for name, value in (("FIRST", 50), ("_LEAST_MEAN", 3), ("_MOST_LOOKED_INTO", 300)):
        monkeypatch.setattr(folder_ranges, name, value)


@pytest.mark.parametrize(
    ("names", "largest"),
    [
        (tree([20] * 250), 100),
        (tree([200] * 70), 200),
        (tree([2] * 10 + [4000] + [9] * 200) | {"in/z.png"}, 4000),
        (tree([10] * 280, folder="a/b/in/d/{:04d}/"), 60),
        (tree([10] * 900), 150),
    ],
)
@pytest.mark.usefixtures("pages_of_fifty")
def test_folders_are_spread_by_few_requests_and_none_lists_all_again(names: set[str], largest: int) -> None:
    container = Container(names)
    parts = splitter(container).split(*whole(""), num_ranges=64)
    requests = sum(container.read.values()) / 50 + len(container.read)
    assert requests <= 4 * len({name.rpartition("/")[0] for name in names}) + 50
    sizes = [len(listed(container, part)) for part in parts]
    assert sum(sizes) == len(names)
    assert max(sizes) <= largest
    assert container.read.get("", 0) <= 50
    assert container.read.get("in/", 0) <= 50


@pytest.mark.parametrize(
    "names",
    [
        tree([5000], folder="in/"),
        tree([2] * 2500),
        {f"in/{number:04d}/scan.png" for number in range(3000)},
        tree([7, 9]),
        set[str](),
    ],
)
@pytest.mark.usefixtures("pages_of_fifty")
def test_a_folder_without_large_ones_in_it_is_one_range(names: set[str]) -> None:
    container = Container(names)
    assert splitter(container).split(*whole("in/"), num_ranges=64) == [whole("in/")]
    assert sum(container.read.values()) <= 50
