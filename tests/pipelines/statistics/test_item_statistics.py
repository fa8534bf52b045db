import collections
import dataclasses
import json
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.statistics.agreement import MAX_DISAGREEMENTS, Agreement, Disagreement
from pipelines.statistics.audit_sample import AuditedImage, AuditSample
from pipelines.statistics.item_statistics import (
    CONFIDENCE_BINS,
    ItemStatistics,
    RunStatistics,
    count_failure_codes,
    merge_pieces,
    merge_statistics,
)
from pipelines.statistics.kept_images import (
    MAX_CONFUSED,
    MAX_DOUBTFUL,
    MAX_EXAMPLES_PER_DIGIT,
    MAX_MISTAKEN,
    FailurePicture,
    KeptImage,
)
from pipelines.statistics.tallies import Tally
from pipelines.statistics.thresholds import EDGES, RELIABILITY_BINS, ConfidenceCounts
from schemas.failure import Failure, FailureCode
from schemas.manifest import Part
from schemas.model.ink_counts import INK_BINS, UPPER_BOUNDS, InkCounts

UNIT = st.floats(0, 1)
COUNTS = st.integers(0, 100)
TALLIES = st.builds(
    Tally, st.sampled_from(["a", "b"]), st.integers(0, 9), st.integers(1, 99), UNIT, COUNTS, COUNTS, COUNTS
)
KEPT = st.builds(
    KeptImage,
    UNIT,
    st.text(max_size=4),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(-1, 9),
    st.just(""),
)
# Alike for all bins: what is tested is adding up, and hypothesis is slow at hundreds of numbers.
CONFIDENCES = st.builds(
    lambda count, other, total: ConfidenceCounts(
        *((number,) * len(EDGES) for number in (count, other, count)),
        *((number,) * RELIABILITY_BINS for number in (other, count)),
        (total,) * RELIABILITY_BINS,
    ),
    COUNTS,
    COUNTS,
    UNIT,
)
AGREEMENTS = st.builds(Agreement, st.just(3), st.integers(-1, 9), COUNTS, COUNTS, COUNTS, COUNTS)
DISAGREEMENTS = st.builds(
    Disagreement, st.uuids().map(str), st.just(3), UNIT, st.integers(0, 9), UNIT, st.just(-1), st.just("")
)
AUDITED = st.builds(
    AuditedImage, st.text("0123456789abcdef", min_size=16, max_size=16), st.text(max_size=3), COUNTS, COUNTS,
    st.floats(0, 1),
)  # fmt: skip
AUDITS = st.builds(lambda images: AuditSample(3, tuple(sorted(images)[:3])), st.lists(AUDITED, max_size=5))

ITEMS = st.lists(
    st.builds(
        ItemStatistics,
        digest=st.uuids().map(str),
        listed=COUNTS,
        scored=COUNTS,
        accepted=COUNTS,
        failures=st.lists(
            st.builds(Failure, st.text(min_size=1), COUNTS, st.sampled_from(list(FailureCode)), st.just("x")),
            max_size=3,
        ).map(tuple),
        tallies=st.lists(TALLIES, max_size=4, unique_by=lambda tally: (tally.folder, tally.digit)).map(tuple),
        confidences=st.tuples(*[COUNTS] * CONFIDENCE_BINS),
        confusion=st.tuples(*[st.tuples(*[COUNTS] * 10)] * 10),
        doubtful=st.lists(KEPT, max_size=5).map(tuple),
        parts=st.just((Part("p", 1, 2, "s"),)),
        agreements=st.lists(AGREEMENTS, max_size=4, unique_by=lambda cell: cell.challenger_digit).map(tuple),
        disagreements=st.lists(DISAGREEMENTS, max_size=30).map(tuple),
        accepted_labeled=COUNTS,
        accepted_right=COUNTS,
        thresholds=CONFIDENCES,
        gray_levels=COUNTS.map(lambda count: (count,) * CONFIDENCE_BINS),
        ink=st.permutations([*range(INK_BINS)]).map(lambda row: InkCounts(*[tuple(row)] * len(UPPER_BOUNDS))),
        mistaken=st.lists(KEPT, max_size=5).map(tuple),
        confused=st.lists(KEPT, max_size=5).map(tuple),
        examples=st.lists(KEPT, max_size=5).map(tuple),
        failure_pictures=st.lists(
            st.builds(FailurePicture, st.sampled_from(["BLANK", "ENGINE"]), st.text(max_size=3), st.just("")),
            max_size=3,
        ).map(tuple),
        audit=st.lists(AUDITS, max_size=1).map(tuple),
    ),
    min_size=1,
    max_size=4,
)


@given(ITEMS)
def test_a_record_round_trips(items: list[ItemStatistics]) -> None:
    for item in items:
        assert ItemStatistics.from_json(item.to_json()) == item


@given(ITEMS, st.randoms())
def test_the_order_of_work_items_does_not_matter(items: list[ItemStatistics], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    assert merge_statistics(shuffled) == merge_statistics(items)


@given(ITEMS)
def test_merging_adds_up(items: list[ItemStatistics]) -> None:
    run = merge_statistics(items)
    assert run.scored == sum(item.scored for item in items)
    assert len(run.failures) == sum(len(item.failures) for item in items)
    assert sum(run.confidences) == sum(sum(item.confidences) for item in items)
    assert run.labeled == sum(sum(map(sum, item.confusion)) for item in items)
    assert run.right == sum(item.confusion[k][k] for item in items for k in range(10))
    assert sum(tally.images for tally in run.tallies) == sum(t.images for item in items for t in item.tallies)
    assert len({(tally.folder, tally.digit) for tally in run.tallies}) == len(run.tallies)
    assert len(run.doubtful) <= MAX_DOUBTFUL
    cells = [cell for item in items for cell in item.agreements]
    assert sum(cell.images for cell in run.agreements) == sum(cell.images for cell in cells)
    assert run.agreed == sum(cell.images for cell in cells if cell.challenger_digit == 3)
    assert run.challenger_right == sum(cell.challenger_right for cell in cells)
    assert len(run.disagreements) <= MAX_DISAGREEMENTS
    assert sum(run.thresholds.images) == sum(sum(item.thresholds.images) for item in items)
    assert sum(run.gray_levels) == sum(sum(item.gray_levels) for item in items)
    assert run.ink.images == sum(item.ink.images for item in items)
    assert run.ink.ink_shares == tuple(map(sum, zip(*(i.ink.ink_shares for i in items), strict=True)))
    assert len(run.mistaken) <= MAX_MISTAKEN
    cells = collections.Counter((image.label, image.digit) for image in run.confused)
    assert all(count <= MAX_CONFUSED for count in cells.values())
    assert list(run.mistaken) == sorted(run.mistaken, key=lambda image: (-image.confidence, image.image))
    for digit in range(10):
        offered = sum(kept.digit == digit for item in items for kept in item.examples)
        assert sum(kept.digit == digit for kept in run.examples) == min(offered, MAX_EXAMPLES_PER_DIGIT)
    assert len({picture.code for picture in run.failure_pictures}) == len(run.failure_pictures)
    audited = [image for item in items for sample in item.audit for image in sample.images]
    assert [image for sample in run.audit for image in sample.images] == sorted(audited)[:3]
    assert list(run.doubtful) == sorted(run.doubtful, key=lambda image: (image.confidence, image.image))


def test_an_older_record_can_be_read() -> None:
    old = {name: value for name, value in json.loads(merge_of_nothing()).items() if name in OLD_FIELDS}
    read = ItemStatistics.from_json(json.dumps(old))
    assert read.thresholds == ConfidenceCounts()
    assert read.gray_levels == (0,) * CONFIDENCE_BINS
    assert read.ink == InkCounts()
    assert (read.mistaken, read.examples, read.failure_pictures) == ((), (), ())


OLD_FIELDS = (
    "digest", "listed", "scored", "accepted", "failures", "tallies", "confidences", "confusion", "doubtful",
    "parts", "agreements", "disagreements",
)  # fmt: skip


def merge_of_nothing() -> str:
    return merge_pieces("d", []).to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"failures": [{"image": "x"}]})])
def test_a_damaged_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own errors have words of their own
        ItemStatistics.from_json(text)


def test_every_code_is_counted_even_at_zero() -> None:
    failures = [Failure("a", 1, FailureCode.EMPTY, "x"), Failure("b", 1, FailureCode.EMPTY, "x")]
    counts = count_failure_codes(failures)
    assert set(counts) == {code.value for code in FailureCode}
    assert counts["EMPTY"] == 2
    assert sum(counts.values()) == 2


def test_one_record_is_in_memory_at_a_time() -> None:
    alive: weakref.WeakSet[RunStatistics] = weakref.WeakSet()
    most = []

    def records() -> Iterator[RunStatistics]:
        for number in range(5):
            record = dataclasses.replace(
                merge_statistics([]), scored=1, tallies=(Tally(f"f{number}", 1, 1, 0.5),)
            )
            alive.add(record)
            most.append(len(alive))
            yield record
            del record

    merged = merge_statistics(records())
    assert (merged.scored, len(list(merged.tallies))) == (5, 5)
    assert max(most) <= 2  # the next one is made before the one before is let go
