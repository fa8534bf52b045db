"""Packed shards that are decoded while training begins."""

import concurrent.futures
import threading

import cv2
import numpy as np
import pytest

from digitmill.storage import ImageReader
from schemas.errors import UserError
from tests.trainer.data.meeting import Meeting
from tests.trainer.data.sources.test_tfrecord_source import record, write_shard
from trainer.data import stream as stream_module
from trainer.data.reading import ALONE, ReadOptions, Workers
from trainer.data.rejects import Rejects
from trainer.data.share import Rows, Share, ShareWriter
from trainer.data.sources.tfrecord_source import RecordsSource
from trainer.data.splits import Digits, Split, SplitSummary
from trainer.data.stream import Stream, Watch

WINDOW = 64


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(stream_module, "WINDOW", WINDOW)


@pytest.fixture
def records(few_digits):
    train = few_digits.train
    return [
        record(cv2.imencode(".png", image)[1].tobytes(), int(label))
        for image, label in zip(train.images, train.labels, strict=True)
    ]


@pytest.fixture
def shards(tmp_path, records):
    """The 400 training digits in four shards of a hundred, in no order."""
    (tmp_path / "packed").mkdir()
    for number, rows in enumerate(np.split(np.random.default_rng(0).permutation(400), 4)):
        write_shard(tmp_path / "packed" / f"{number}.tfrecord", [records[row] for row in rows])
    return tmp_path / "packed" / "*.tfrecord"


def opened(pattern, *, cache=None, max_rate=0.05, workers=ALONE) -> Stream:
    reading = ReadOptions(Rejects(max_rate=max_rate), cache_dir=cache)
    return RecordsSource(str(pattern), reading).stream(workers=workers, check=lambda digits: digits)


def whole(pattern) -> Digits:
    return RecordsSource(str(pattern)).read(validation_fraction=0.1)


def assert_same(one: Digits, other: Digits) -> None:
    assert one.digest == other.digest
    assert one.train_digest == other.train_digest
    for name, split in one.splits().items():
        assert (split.images == other.splits()[name].images).all()
        assert (split.labels == other.splits()[name].labels).all()


def test_a_stream_ends_with_what_reading_gives(shards, tmp_path):
    expected = whole(shards)
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):  # in memory, empty, full
        with opened(shards, cache=cache).opened() as stream:
            assert_same(stream.whole(), expected)
            assert stream.wait(10**9) == len(expected.train)
            images, labels = stream.take(np.array([[5, 0]]))
        assert (images == expected.train.images[[[5, 0]]]).all()
        assert (labels == expected.train.labels[[[5, 0]]]).all()


def test_the_first_images_are_there_while_others_are_decoded(few_digits):
    going_on = threading.Event()
    train = few_digits.train.take(np.random.default_rng(0).permutation(400))

    def fill(watch: Watch) -> Share:
        writer = ShareWriter()
        for start in range(0, 400, 40):
            writer.add(piece(train.take(slice(start, start + 40)), start))
            watch(writer)
            if start == 80:
                assert going_on.wait(30)
        return writer.finish()

    stream = Stream("few", epoch_images=400, identity="", fill=fill, finish=lambda _: few_digits)
    with stream.opened():
        assert stream.wait(1) == 80
        images, labels = stream.take(np.array([79, 3]))
        going_on.set()
        assert stream.wait(10**9) == 400
    assert (images == train.images[[79, 3]]).all()
    assert (labels == train.labels[[79, 3]]).all()


def piece(split: Split, first: int) -> Share:
    none = split.take(slice(0, 0))
    rows = {
        name: Rows(part.images, part.labels, np.arange(first, first + len(part)))
        for name, part in (("train", split), ("validation", none), ("test", none))
    }
    return Share(rows, [], len(split), SplitSummary.of(split))


def test_what_must_be_known_first_does_not_depend_on_the_cache(shards, tmp_path):
    found = []
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        with opened(shards, cache=cache).opened() as stream:
            found.append((stream.epoch_images, stream.identity))
            stream.whole()
    assert len(set(found)) == 1
    assert found[0][0] == pytest.approx(320, rel=0.02)


def test_other_shards_have_another_identity(shards, records):
    with opened(shards).opened() as stream:
        before = stream.identity
    write_shard(shards.parent / "3.tfrecord", records[:100])
    with opened(shards).opened() as stream:
        assert stream.identity != before


def test_an_error_in_decoding_is_the_error_of_who_waits_and_leaves_no_cache(shards, tmp_path):
    write_shard(shards.parent / "4.tfrecord", [record(b"x", None)])
    with (
        pytest.raises(UserError, match="a packed image has no label"),
        opened(shards, cache=tmp_path / "cache").opened() as stream,
    ):
        stream.wait(10**9)
    assert not list((tmp_path / "cache").iterdir())


def test_an_error_in_decoding_is_told_rather_than_what_followed(shards):
    write_shard(shards.parent / "4.tfrecord", [record(b"x", None)])

    def fail() -> None:
        with opened(shards).opened() as stream:
            with pytest.raises(UserError):
                stream.whole()
            raise RuntimeError("as TensorFlow words it")

    with pytest.raises(UserError, match="a packed image has no label"):
        fail()


def test_a_stream_that_is_left_leaves_no_cache(shards, tmp_path):
    with pytest.raises(KeyboardInterrupt), opened(shards, cache=tmp_path / "cache").opened() as stream:
        raise KeyboardInterrupt
    with opened(shards, cache=tmp_path / "cache").opened() as stream:
        assert_same(stream.whole(), whole(shards))


def test_too_many_bad_images_are_an_error_in_the_end(shards):
    write_shard(shards.parent / "4.tfrecord", [record(b"no image")] * 50)
    with opened(shards).opened() as stream:
        assert stream.wait(10**9)
        with pytest.raises(UserError, match="50 of 450"):
            stream.whole()


@pytest.mark.parametrize("cached", [False, True])
def test_sorted_images_are_refused(tmp_path, few_digits, records, cached):
    order = np.argsort(few_digits.train.labels, kind="stable")
    write_shard(tmp_path / "0.tfrecord", [records[row] for row in order])
    cache = tmp_path / "cache" if cached else None
    if cached:
        RecordsSource(str(tmp_path / "*.tfrecord"), ReadOptions(cache_dir=cache)).read(
            validation_fraction=0.1
        )
    match = r"no 2, 3, 4, 5, 6, 7, 8, 9 among the first 64 .*--shuffle"
    with (
        opened(tmp_path / "*.tfrecord", cache=cache).opened() as stream,
        pytest.raises(UserError, match=match),
    ):
        stream.whole()


def test_shards_without_training_images_are_refused(tmp_path):
    write_shard(tmp_path / "x.tfrecord", [])
    empty = opened(tmp_path / "x.tfrecord")
    with empty.opened() as stream, pytest.raises(UserError, match="no training images"):
        stream.wait(1)


def by_workers(pattern, count: int) -> list[tuple[Stream, Digits]]:
    meeting = Meeting(count)

    def work(index: int) -> tuple[Stream, Digits]:
        with opened(pattern, workers=Workers(index, count, meeting.of(index))).opened() as stream:
            return stream, stream.whole()

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_workers_share_the_images(shards, workers):
    expected = whole(shards)
    found = by_workers(shards, workers)
    trained = [image.tobytes() for _, digits in found for image in digits.train.images]
    assert sorted(trained) == sorted(image.tobytes() for image in expected.train.images)
    assert {digits.digest for _, digits in found} == {expected.digest}
    for stream, digits in found:
        assert stream.epoch_images == pytest.approx(320 / workers, rel=0.03)
        assert (digits.validation.images == expected.validation.images).all()


def test_workers_read_shards_of_their_own_where_they_divide_evenly(shards, monkeypatch):
    read = []
    real = ImageReader.fetch
    monkeypatch.setattr(ImageReader, "fetch", lambda self, file: read.append(file.uri) or real(self, file))
    by_workers(shards, 2)
    assert sorted(uri[-10:] for uri in read) == [f"{number}.tfrecord" for number in range(4)]
    read.clear()
    by_workers(shards, 3)
    assert len(read) == 3 * 4
