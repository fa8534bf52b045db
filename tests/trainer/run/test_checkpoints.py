import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UserError
from trainer.run import checkpoints
from trainer.run.checkpoints import Checkpoint, Checkpoints, CorruptCheckpointError, file_name
from trainer.run.run_location import LocalPlace

ARRAYS = {
    "model/0": np.arange(60, dtype=np.float32).reshape(3, 20),
    "model/1/replicas": np.array([[1.5], [2.5]], np.float32),
    "optimizer/0": np.array(7, np.int64),
}
RECORD = {
    "sums": [0.1, 2.0, 3.0],
    "history": [{"epoch": 1, "val_loss": None}],
    "identity": {"seed": 2**32 - 1},
}


def made(step: int = 5) -> Checkpoint:
    return Checkpoint(step, RECORD, ARRAYS)


@pytest.fixture
def store(tmp_path):
    return Checkpoints(LocalPlace(tmp_path / "deep" / "checkpoints"))


def same(one: Checkpoint, other: Checkpoint) -> bool:
    equal = one.arrays.keys() == other.arrays.keys() and all(
        one.arrays[name].dtype == other.arrays[name].dtype and (one.arrays[name] == other.arrays[name]).all()
        for name in one.arrays
    )
    return equal and (one.step, one.record) == (other.step, other.record)


def test_a_checkpoint_is_read_back(tmp_path):
    checkpoints.write(made(), tmp_path / "it.npz")
    assert same(checkpoints.read(tmp_path / "it.npz"), made())
    assert [path.name for path in tmp_path.iterdir()] == ["it.npz"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    file = tmp_path_factory.mktemp("whole") / "it.npz"
    checkpoints.write(made(), file)
    return file.read_bytes()


def test_a_directory_that_lost_entries_is_noticed(whole, tmp_path):
    damaged = bytearray(whole)
    # The end of the archive tells its directory's size, in its 13th to 16th byte.
    end = whole.rindex(b"PK\x05\x06") + 12
    first = whole.index(b"PK\x01\x02")
    second = whole.index(b"PK\x01\x02", first + 4)
    damaged[end : end + 4] = (second - first).to_bytes(4, "little")
    (tmp_path / "short.npz").write_bytes(damaged)
    with pytest.raises(CorruptCheckpointError):
        checkpoints.read(tmp_path / "short.npz")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_noticed_or_harms_nothing(whole, data, tmp_path_factory):
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(whole)
    damaged[place] ^= 1 << bit
    file = tmp_path_factory.getbasetemp() / "flipped.npz"
    file.write_bytes(damaged)
    try:
        found = checkpoints.read(file)
    except CorruptCheckpointError:
        return
    # Time stamps and the like, which zip keeps beside the contents.
    assert same(found, made())


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_truncated_file_is_noticed(whole, data, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "short.npz"
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CorruptCheckpointError):
        checkpoints.read(file)


def test_an_empty_folder_has_no_newest_checkpoint(store):
    assert (store.load_newest(), store.newest, store.steps()) == (None, None, [])


def test_the_newest_is_loaded(store):
    for step in (3, 20, 100):
        store.save(made(step))
    assert store.load_newest().step == 100
    assert store.newest.endswith(file_name(100))


def test_the_oldest_are_removed(store):
    for step in range(1, 8):
        store.save(made(step))
    assert store.steps() == [5, 6, 7]


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped"])
def test_a_damaged_newest_checkpoint_is_skipped_with_a_warning(store, tmp_path, capsys, damage):
    for step in (1, 2, 3):
        store.save(made(step))
    newest = tmp_path / "deep" / "checkpoints" / file_name(3)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 255
    newest.write_bytes({"truncated": content[:200], "emptied": b"", "flipped": content}[damage])
    assert store.load_newest().step == 2
    said = capsys.readouterr().err
    assert str(newest) in said
    assert said.count("\n") == 1


def test_only_damaged_checkpoints_are_none(store, tmp_path, capsys):
    for step in (1, 2):
        store.save(made(step))
        (tmp_path / "deep" / "checkpoints" / file_name(step)).write_bytes(b"x")
    assert store.load_newest() is None
    assert capsys.readouterr().err.count("is damaged") == 2


def test_resuming_from_an_older_one_keeps_it(store, tmp_path):
    for step in (10, 20, 30):
        store.save(made(step))
    (tmp_path / "deep" / "checkpoints" / file_name(30)).write_bytes(b"x")
    store.save(made(25))
    assert store.steps() == [10, 20, 25, 30]
    assert store.load_newest().step == 25


def test_a_crash_while_writing_leaves_the_one_before(store, monkeypatch):
    store.save(made(1))

    def crash(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="no space"):
        store.save(made(2))
    assert store.load_newest().step == 1
    assert store.steps() == [1]


def test_an_invisible_checkpoint_of_the_chief_is_a_user_error(store):
    with pytest.raises(UserError, match="where all workers can read it"):
        store.load(5)


def test_other_files_are_ignored(store, tmp_path):
    store.save(made(1))
    (tmp_path / "deep" / "checkpoints" / "step-9.npz").write_bytes(b"")
    (tmp_path / "deep" / "checkpoints" / ".part-step-0000000009.npz").write_bytes(b"")
    assert store.steps() == [1]
