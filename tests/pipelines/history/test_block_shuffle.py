import pathlib
from collections.abc import Iterator

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from pipelines.history.block_shuffle import Block, Spill, group_blocks, read_blocks, shared_spill
from pipelines.runners.beam_options import beam_options
from schemas.errors import StorageError

BUCKETS = 3
ELEMENTS = st.lists(
    st.tuples(
        st.integers(0, BUCKETS - 1),
        st.tuples(st.integers(-1, 5), st.sampled_from(["listed", "row"]), st.binary(max_size=200)),
    ),
    max_size=40,
)


@given(ELEMENTS, st.sampled_from([0, 500, 10**6]))
def test_blocks_come_back_by_bucket_and_in_order(elements: list[tuple[int, Block]], held: int) -> None:
    spill = Spill(BUCKETS, held=held)
    for bucket, block in elements:
        spill.add(bucket, block)
    for bucket in range(BUCKETS):
        expected = [block for where, block in elements if where == bucket]
        assert list(spill.blocks(bucket)) == expected
        assert list(spill.blocks(bucket)) == expected


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pathlib.Path("/dev/full").open("w+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full)
        spill = Spill(1, held=0)
        with pytest.raises(StorageError, match=r"the disk is full.*TMPDIR"):
            spill.add(0, (0, "row", b"x" * 1000))


@pytest.mark.parametrize("on_disk", [True, False])
def test_both_ways_group_alike_and_know_every_bucket(on_disk: bool) -> None:
    spill = Spill(BUCKETS, held=0)
    elements = [(0, (7, "row", b"a")), (2, (1, "listed", b"bc")), (0, (3, "row", b"d"))]
    with beam.Pipeline(options=beam_options(["--runner=FnApiRunner"])) as pipeline:
        collections = (
            pipeline | "Some" >> beam.Create(elements[:1]),
            pipeline | "Others" >> beam.Create(elements[1:]),
        )
        blocks = group_blocks(collections, BUCKETS, shared_spill(spill) if on_disk else None)
        grouped = blocks | beam.MapTuple(lambda bucket, blocks: (bucket, sorted(read_blocks(blocks))))
        assert_that(
            grouped,
            equal_to([(0, [(3, "row", b"d"), (7, "row", b"a")]), (1, []), (2, [(1, "listed", b"bc")])]),
        )


EVENTS: list[str] = []


class RecordingSpill(Spill):
    def add(self, bucket: int, block: Block) -> None:
        EVENTS.append("written")
        super().add(bucket, block)


def make_blocks(run: int) -> Iterator[tuple[int, Block]]:
    for _ in range(5):
        EVENTS.append("made")
        yield 0, (run, "row", b"a")


def test_blocks_are_written_one_by_one_while_they_are_made() -> None:
    EVENTS.clear()
    spill = RecordingSpill(1, held=0)
    with beam.Pipeline(options=beam_options(["--runner=FnApiRunner"])) as pipeline:
        made = tuple(
            pipeline | f"Run{run}" >> beam.Create([run]) | f"Make{run}" >> beam.FlatMap(make_blocks)
            for run in range(2)
        )
        group_blocks(made, 1, shared_spill(spill))
    assert EVENTS == ["made", "written"] * 10
