from collections.abc import Collection, Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.statistics import failure_rows
from pipelines.statistics.failure_rows import FailureSorter, RecordedFailures, failure_file
from schemas.failure import Failure, FailureCode

NAMES = st.text(st.characters(exclude_categories=()), min_size=1, max_size=5)
ROWS = st.builds(Failure, NAMES, st.integers(0, 2**63), st.sampled_from([*map(str, FailureCode)]), NAMES)


def sort_failures(rows: Iterable[Failure]) -> Collection[Failure]:
    sorter = FailureSorter()
    sorter.add(rows)
    return sorter.result()


@given(st.lists(ROWS), st.randoms())
def test_failures_are_sorted_alike_on_disk_and_in_memory(rows: list[Failure], random: Random) -> None:
    in_memory = sort_failures(rows)
    random.shuffle(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failure_rows, "MOST_IN_MEMORY", -1)
        on_disk = sort_failures(rows)
    assert list(on_disk) == list(in_memory)
    assert [row.image for row in in_memory] == sorted(row.image for row in rows)
    assert len(on_disk) == len(in_memory) == len(rows)
    assert all(row in on_disk for row in rows)


@given(st.lists(ROWS), st.lists(ROWS))
def test_files_hold_what_they_were_given(kept: list[Failure], more: list[Failure]) -> None:
    part, data = failure_file("piece", more)
    assert failure_file("piece", more) == (part, data)
    there = RecordedFailures(kept, [part], {part.name: data}.__getitem__)
    assert list(there) == [*kept, *more]
    assert len(there) == len(kept) + len(more)


def test_many_are_sorted_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_rows, "MOST_IN_MEMORY", 3)
    rows = [Failure(f"file:///{name}", 0, FailureCode.EMPTY, "empty") for name in "dbca"]
    assert isinstance(sort_failures(rows[:3]), tuple)
    many = sort_failures(iter(rows))
    assert not isinstance(many, tuple)
    assert "".join(row.image[-1] for row in many) == "abcd"


@pytest.mark.parametrize("content", [b"", b"[1, 2]\n", b"{", b"[" * 100_000])
def test_a_damaged_file_is_refused(content: bytes) -> None:
    import gzip

    part, _ = failure_file("piece", [])
    there = RecordedFailures((), [part], lambda _: gzip.compress(content + b"null\n"))
    with pytest.raises(ValueError, match=r"wrong fields for a failure|Expecting|nested"):
        list(there)
