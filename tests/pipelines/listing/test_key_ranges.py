import bisect
import hashlib
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.listing import key_ranges
from pipelines.listing.key_ranges import KeyRange, prefix_end, split_range

CHARACTERS = st.characters(exclude_categories=["Cs"])
NAMES = st.sets(st.text(st.one_of(st.sampled_from("ab/0"), CHARACTERS), max_size=6)).map(sorted)


class Bucket:
    """Names in order, asked as a store is asked."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.questions = 0

    def first_names(self, start: str, end: str) -> list[str]:
        self.questions += 1
        place = bisect.bisect_left(self.names, start)
        stop = bisect.bisect_left(self.names, end) if end else len(self.names)
        return self.names[place : min(stop, place + key_ranges.PAGE)]


@pytest.fixture(autouse=True, params=[3, 1000])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Names of a request."""
    monkeypatch.setattr(key_ranges, "PAGE", request.param)
    return request.param


@given(NAMES, st.integers(1, 30), st.text(CHARACTERS, max_size=3))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_name_lies_in_exactly_one_range(names: list[str], parts: int, later: str) -> None:
    ranges = split_range(KeyRange("", ""), Bucket(names).first_names, num_ranges=parts)
    for name in [*names, later]:
        assert sum(name in keys for keys in ranges) == 1


@given(NAMES, st.text(CHARACTERS, max_size=3), st.text(CHARACTERS, max_size=3), st.integers(1, 30))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ranges_cover_what_they_split_and_no_more(names: list[str], start: str, end: str, parts: int) -> None:
    whole = KeyRange(start, end)
    ranges = split_range(whole, Bucket(names).first_names, num_ranges=parts)
    for name in names:
        assert sum(name in keys for keys in ranges) == (1 if name in whole else 0)
    assert (ranges[0].start, ranges[-1].end) == (start, end)
    assert all(one.end == other.start for one, other in itertools.pairwise(ranges))


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        ([f"scans/2026/img-{number:07d}.png" for number in range(200_000)], "scans/"),
        ([f"{number:x}".rjust(16, "0")[::-1] for number in range(100_000)], ""),
        ([f"only/{number:06d}" for number in range(100_000)] + ["z"], ""),
    ],
)
def test_a_large_folder_is_split_evenly_with_few_requests(names: list[str], prefix: str) -> None:
    bucket = Bucket(sorted(names))
    whole = KeyRange(prefix, prefix_end(prefix))
    ranges = split_range(whole, bucket.first_names, prefix=prefix, num_ranges=64)
    sizes = [sum(1 for _ in _inside(bucket.names, keys)) for keys in ranges]
    assert sum(sizes) == len(names)
    assert len(ranges) >= 64
    assert max(sizes) <= len(names) / 10
    assert bucket.questions < 2000


@pytest.mark.parametrize("exponent", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("folder", ["customers/{0:05d}/", "a/{1}{0}/2026/", "{2}/x/"])
def test_folders_of_very_different_sizes_are_told_apart(folder: str, exponent: float) -> None:
    weights = [1 / (rank + 1) ** exponent for rank in range(500)]
    sizes = [max(1, int(20_000 * weight / sum(weights))) for weight in weights]
    # 20,000 names are to pages of 100 what 200,000 are to those of a store.
    key_ranges.PAGE = 100
    names = sorted(
        folder.format(rank, "z" * (rank % 7), hashlib.sha256(b"%d" % rank).hexdigest()) + f"{number:08d}.png"
        for rank, size in enumerate(sizes)
        for number in range(size)
    )
    bucket = Bucket(names)
    ranges = split_range(KeyRange("", ""), bucket.first_names)
    assert sum(len(_inside(names, keys)) for keys in ranges) == len(names)
    assert 64 <= len(ranges) <= 400
    # None holds much more than the largest folder, which is split in its turn while it is listed.
    assert max(len(_inside(names, keys)) for keys in ranges) <= max(sizes) + len(names) / 20
    assert bucket.questions < 1000


def _inside(names: list[str], keys: KeyRange) -> list[str]:
    stop = bisect.bisect_left(names, keys.end) if keys.end else len(names)
    return names[bisect.bisect_left(names, keys.start) : stop]


def test_a_folder_without_names_is_one_range() -> None:
    assert split_range(KeyRange("a", "b"), Bucket([]).first_names) == [KeyRange("a", "b")]


@given(st.text(CHARACTERS, min_size=1), st.text(CHARACTERS))
def test_prefix_end_is_greater_than_all_names_with_the_prefix(prefix: str, rest: str) -> None:
    beyond = prefix_end(prefix)
    if beyond:
        assert prefix + rest < beyond
        assert not beyond.startswith(prefix)
    else:
        assert set(prefix) == {"\U0010ffff"}


def test_prefix_end_skips_surrogates() -> None:
    assert prefix_end("\ud7ff") == "\ue000"
    assert prefix_end("a\U0010ffff") == "b"
