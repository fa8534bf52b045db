"""The engine under every source, on images made of numbers."""

import concurrent.futures
import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill import machine
from digitmill.imaging.batch import DigitBatch
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from tests.trainer.data.meeting import Meeting
from trainer.data import reading
from trainer.data.reading import DecodedBatch, ReadOptions, ReadPlan, Workers, read
from trainer.data.rejects import Rejects
from trainer.data.share import ShareCache
from trainer.data.splits import Digits


def numbered(numbers) -> np.ndarray:
    """uint8[N, 28, 28]: images that say their own number."""
    images = np.zeros((len(numbers), 28, 28), np.uint8)
    images[:, 0, :4] = np.array(numbers, ">u4")[:, None].view(np.uint8)
    return images


def numbers_of(split) -> list[int]:
    return [] if split is None else np.array(split.images)[:, 0, :4].copy().view(">u4")[:, 0].tolist()


class Counted:
    """A plan over numbered images, which counts what is decoded."""

    def __init__(self, images: int, *, bad=(), parts=None, made_from=("v1",), chunk=7) -> None:
        self.decoded: list[int] = []
        self._bad = set(bad)
        self._parts = parts
        self._chunk = chunk
        self._images = images
        self.plan = ReadPlan("numbers", images, made_from=made_from, chunks=self._batches)

    def _batches(self, shard):
        mine = np.arange(shard[0], self._images, shard[1])
        for start in range(0, len(mine), self._chunk):
            chunk = mine[start : start + self._chunk]
            self.decoded += chunk.tolist()
            errors = [
                ImageError(FailureCode.CORRUPT, "x") if number in self._bad else None for number in chunk
            ]
            yield DecodedBatch(
                chunk,
                [f"{number}.png" for number in chunk],
                chunk % 10,
                DigitBatch(numbered(chunk), errors),
                None if self._parts is None else self._parts[chunk],
            )


def read_by(workers: int, make, **options) -> list[Digits]:
    """Read with as many workers, each a thread, that exchange what they hold out."""
    meeting = Meeting(workers)
    results: list = [None] * workers

    def work(index: int) -> None:
        try:
            results[index] = read(
                make().plan,
                reading=ReadOptions(**options),
                workers=Workers(index, workers, meeting.of(index)),
            )
        except UserError as error:
            results[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


images = st.integers(0, 120)
worker_counts = st.integers(1, 5)


@given(images, worker_counts, st.data())
def test_shards_are_disjoint_and_complete_and_hold_out_the_same(count, workers, data):
    bad = data.draw(st.sets(st.integers(0, max(0, count - 1)), max_size=5))
    whole = read(Counted(count, bad=bad).plan, reading=ReadOptions(Rejects(max_rate=1)))
    for index in range(workers):
        own = read(
            Counted(count, bad=bad).plan,
            reading=ReadOptions(Rejects(max_rate=1)),
            workers=Workers(index, workers),
        )
        assert numbers_of(own.train) == [
            number for number in numbers_of(whole.train) if number % workers == index
        ]
        assert numbers_of(own.validation) == numbers_of(whole.validation)
        assert numbers_of(own.test) == numbers_of(whole.test)
        assert own.train_counts() == whole.train_counts() == whole.train.class_counts()
        assert own.digest == whole.digest


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_with_an_exchange_each_worker_decodes_only_its_shard(workers):
    made: list[Counted] = []

    def make() -> Counted:
        made.append(Counted(100, bad=[13, 55]))
        return made[-1]

    whole = read(Counted(100, bad=[13, 55]).plan, reading=ReadOptions(Rejects(max_rate=1)))
    shared = read_by(workers, make, rejects=Rejects(max_rate=1))
    assert sorted(number for one in made for number in one.decoded) == list(range(100))
    assert sorted(n for one in shared for n in numbers_of(one.train)) == numbers_of(whole.train)
    for one in shared:
        assert numbers_of(one.validation) == numbers_of(whole.validation)
        assert numbers_of(one.test) == numbers_of(whole.test)
        assert one.test.labels.tolist() == whole.test.labels.tolist()
        assert one.train_counts() == whole.train_counts()
        assert one.digest == whole.digest


def test_too_many_bad_images_of_one_worker_stop_all(capsys):
    # Even numbers alone are bad: worker 0 lost all of its own, worker 1 none.
    results = read_by(2, lambda: Counted(40, bad=range(0, 40, 2)), rejects=Rejects(max_rate=0.4))
    assert all(isinstance(result, UserError) and "20 of 40" in str(result) for result in results)
    assert capsys.readouterr().out.count("20 of 40") == 1


def test_given_parts_are_kept():
    parts = np.arange(30, dtype=np.uint8) % 3
    digits = read(Counted(30, parts=parts).plan, reading=ReadOptions())
    for number, split in enumerate((digits.train, digits.validation, digits.test)):
        assert numbers_of(split) == list(range(number, 30, 3))


def test_labels_that_are_no_digits_are_rejected(capsys):
    plan = Counted(20).plan
    batches = plan.chunks

    def relabeled(shard):
        for batch in batches(shard):
            yield batch._replace(labels=np.where(batch.positions == 7, 11, batch.labels))

    digits = read(
        ReadPlan("x", 20, made_from=None, chunks=relabeled), reading=ReadOptions(Rejects(max_rate=0.05))
    )
    assert sum(len(split) for split in digits.splits().values()) == 19
    assert "'7.png': UNSUPPORTED: its label 11 is not a digit" in capsys.readouterr().out


@pytest.mark.parametrize("shard", [(1, 1), (-1, 2), (2, 2), (0, 0)])
def test_an_invalid_shard_is_refused(shard):
    with pytest.raises(ValueError, match="invalid shard"):
        read(Counted(5).plan, reading=ReadOptions(), workers=Workers(*shard))


# The cache.


def cached(tmp_path, source: Counted, **options) -> Digits:
    return read(source.plan, reading=ReadOptions(Rejects(max_rate=1), cache_dir=str(tmp_path)), **options)


def same(first: Digits, second: Digits) -> bool:
    return all(
        numbers_of(first.splits()[name]) == numbers_of(second.splits()[name])
        and first.splits()[name].labels.tolist() == second.splits()[name].labels.tolist()
        for name in first.splits()
    )


def test_decoded_images_are_taken_from_the_cache(tmp_path, capsys):
    first = cached(tmp_path, Counted(50, bad=[3]))
    printed = capsys.readouterr().out
    again = Counted(50, bad=[3])
    second = cached(tmp_path, again)
    assert again.decoded == []
    assert same(first, second)
    assert first.digest == second.digest == read(again.plan, reading=ReadOptions(Rejects(max_rate=1))).digest
    # What cannot be used is said every time.
    assert "'3.png': CORRUPT: x" in printed
    assert "'3.png': CORRUPT: x" in capsys.readouterr().out
    assert not list(tmp_path.glob(".making*"))


def test_another_source_or_shard_is_decoded_again(tmp_path):
    cached(tmp_path, Counted(50))
    for changed, options in (
        (Counted(50, made_from=("v2",)), {}),
        (Counted(50), {"workers": Workers(0, 2)}),
        (Counted(50), {"workers": Workers(1, 2)}),
    ):
        cached(tmp_path, changed, **options)
        assert len(changed.decoded) == 50


def test_another_preprocessing_is_decoded_again(tmp_path, monkeypatch):
    cached(tmp_path, Counted(50))
    monkeypatch.setattr(reading, "PREPROCESSING_VERSION", "another")
    again = Counted(50)
    cached(tmp_path, again)
    assert len(again.decoded) == 50


def test_a_crash_leaves_no_incomplete_cache(tmp_path):
    broken = Counted(50)
    batches = broken.plan.chunks

    def crash(shard):
        yield from list(batches(shard))[:3]
        raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        read(
            ReadPlan("numbers", 50, made_from=("v1",), chunks=crash),
            reading=ReadOptions(cache_dir=str(tmp_path)),
        )
    assert list(tmp_path.iterdir()) == []
    assert same(cached(tmp_path, Counted(50)), read(Counted(50).plan, reading=ReadOptions()))


def test_what_a_killed_process_left_is_removed(tmp_path, run_python):
    run_python(f"""
import os
from trainer.data.reading import ReadOptions, ReadPlan, read

def killed(shard):
    os._exit(0)

plan = ReadPlan("numbers", 50, made_from=("v1",), chunks=killed)
read(plan, reading=ReadOptions(cache_dir={str(tmp_path)!r}))
""")
    (left,) = tmp_path.iterdir()
    cached(tmp_path, Counted(50))
    assert not left.exists()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["train.images", "test.labels", "validation.positions", "share.json"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_truncated_cache_is_recreated(tmp_path, name, gone):
    cached(tmp_path, Counted(80))
    (file,) = tmp_path.glob(f"*/{name}")
    if gone or name == "share.json":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: -1 - 783 * (name == "train.images")])
    again = Counted(80)
    assert same(read(Counted(80).plan, reading=ReadOptions()), cached(tmp_path, again))
    assert len(again.decoded) == 80
    intact = Counted(80)
    cached(tmp_path, intact)
    assert intact.decoded == []


def test_images_that_do_not_fit_the_memory_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "available_in_process", lambda: 50 * 784)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    digits = read(Counted(300).plan, reading=ReadOptions())
    assert isinstance(digits.train.images, np.memmap)
    assert not digits.train.images.flags.writeable
    assert len(list((tmp_path / "digitmill").iterdir())) == 1
    monkeypatch.undo()
    plain = read(Counted(300).plan, reading=ReadOptions())
    assert not isinstance(plain.train.images, np.memmap)
    assert same(digits, plain)
    assert digits.digest == plain.digest


def test_a_cache_is_mapped_even_if_it_fits(tmp_path):
    # The kernel keeps the file's pages anyway: a copy would take the memory twice.
    cached(tmp_path, Counted(50))
    assert isinstance(cached(tmp_path, Counted(50)).train.images, np.memmap)


def test_a_cache_folder_without_room_is_refused(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1_000})
    monkeypatch.setattr("trainer.data.share.shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"has no room for 50 images .* Name another --cache-dir"):
        cached(tmp_path, Counted(50))


def test_a_cache_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the cache folder"):
        cached(tmp_path / "file", Counted(50))


def test_two_jobs_can_create_the_same_cache_at_once(tmp_path):
    meanwhile = Counted(50)
    batches = meanwhile.plan.chunks

    def slow(shard):
        # While this one decodes, another finishes.
        cached(tmp_path, Counted(50))
        yield from batches(shard)

    digits = read(
        ReadPlan("numbers", 50, made_from=("v1",), chunks=slow), reading=ReadOptions(cache_dir=str(tmp_path))
    )
    assert same(digits, read(Counted(50).plan, reading=ReadOptions()))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("workers", [2])
def test_workers_that_exchange_keep_their_shares_in_the_cache(tmp_path, workers):
    first = read_by(workers, lambda: Counted(60), rejects=Rejects(max_rate=1), cache_dir=str(tmp_path))
    made: list[Counted] = []

    def make() -> Counted:
        made.append(Counted(60))
        return made[-1]

    second = read_by(workers, make, rejects=Rejects(max_rate=1), cache_dir=str(tmp_path))
    assert [one.decoded for one in made] == [[], []]
    assert all(same(one, other) for one, other in zip(first, second, strict=True))


# What the chief alone does.


def told_by_chief(make) -> list:
    meeting = Meeting(3)

    def work(index: int):
        try:
            return Workers(index, 3, meeting.of(index)).from_chief(make)
        except UserError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return list(pool.map(work, range(3)))


def test_the_chief_lists_for_all():
    calls = []
    assert told_by_chief(lambda: calls.append(1) or b"listing") == [b"listing"] * 3
    assert len(calls) == 1


def test_what_stops_the_chief_stops_all():
    def refuse() -> bytes:
        raise UserError("no such folder", value="x", hint="check the path")

    found = told_by_chief(refuse)
    assert [str(error) for error in found] == ["no such folder: 'x'. Check the path."] * 3


def test_alone_everyone_lists():
    assert Workers(1, 2).from_chief(lambda: b"own") == b"own"


def test_held_out_images_travel_in_rounds(monkeypatch):
    monkeypatch.setattr("trainer.data.share._ROUND", 3)
    whole = read(Counted(200).plan, reading=ReadOptions())
    for one in read_by(3, lambda: Counted(200)):
        assert numbers_of(one.validation) == numbers_of(whole.validation)
        assert numbers_of(one.test) == numbers_of(whole.test)
        assert one.test.labels.tolist() == whole.test.labels.tolist()


def test_held_out_images_of_all_workers_are_mapped_where_they_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "available_in_process", lambda: 8 * 784)
    for one in read_by(2, lambda: Counted(200), cache_dir=str(tmp_path)):
        assert isinstance(one.validation.images, np.memmap)
        assert isinstance(one.test.images, np.memmap)
    assert all(path.is_dir() for path in tmp_path.iterdir())


def test_a_disk_without_room_for_the_held_out_images_of_all_is_refused(tmp_path, monkeypatch):
    first = read_by(2, lambda: Counted(200), cache_dir=str(tmp_path))
    monkeypatch.setattr(machine, "available_in_process", lambda: 8 * 784)
    usage = type("Usage", (), {"free": 1_000})
    monkeypatch.setattr("trainer.data.share.shutil.disk_usage", lambda path: usage)
    again = read_by(2, lambda: Counted(200), cache_dir=str(tmp_path))
    assert all(isinstance(one, Digits) for one in first)
    assert all("has no room for" in str(one) for one in again)


def test_a_file_for_images_has_its_room_on_the_disk(tmp_path, monkeypatch):
    """Writing to a mapped file without room ends the process, where the disk is full."""
    monkeypatch.setattr(machine, "available_in_process", lambda: 0)
    with ShareCache(tmp_path).file_for(100) as file:
        status = os.fstat(file.fileno())
    assert status.st_size == 100 * 784
    assert status.st_blocks * 512 >= status.st_size
