"""Decoding in processes, which many images make worth their start."""

import contextlib
import os
import signal

import numpy as np
import pytest

from digitmill.records import encode_records
from schemas import packed
from schemas.errors import StorageError, UserError, WorkerError
from trainer.data import decoder_pool
from trainer.data.reading import ReadOptions
from trainer.data.rejects import Rejects
from trainer.data.sources import labeled_files
from trainer.data.sources.folder import FolderSource
from trainer.data.sources.labels_file import LabelsSource
from trainer.data.sources.tfrecord_source import RecordsSource
from trainer.data.splits import Digits


@pytest.fixture
def processes(monkeypatch) -> None:
    """Two processes for any number of images, and several chunks for each."""
    monkeypatch.setattr(decoder_pool, "MANY", 1)
    monkeypatch.setattr(decoder_pool.machine, "cpu_count", lambda: 2)
    monkeypatch.setattr(labeled_files, "_CHUNK", 30)


def read(folder) -> Digits:
    return FolderSource(str(folder), ReadOptions(Rejects(max_rate=0.05))).read(validation_fraction=0)


def test_processes_give_what_threads_give(label_folder, monkeypatch, request, capsys):
    (label_folder / "3" / "bad.png").write_bytes(b"no image")
    expected = read(label_folder)
    printed = capsys.readouterr().out
    request.getfixturevalue("processes")
    started = []
    popen = decoder_pool.subprocess.Popen
    monkeypatch.setattr(
        decoder_pool.subprocess,
        "Popen",
        lambda *given, **more: started.append(popen(*given, **more)) or started[-1],
    )
    found = read(label_folder)
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)
    for name, split in expected.splits().items():
        assert (found.splits()[name].images == split.images).all()
        assert (found.splits()[name].labels == split.labels).all()
    assert found.digest == expected.digest
    assert found.train_digest == expected.train_digest
    assert capsys.readouterr().out == printed
    assert "bad.png" in printed


def test_a_process_that_dies_ends_the_reading(label_folder, processes, monkeypatch):
    popen = decoder_pool.subprocess.Popen

    def dying(*given, **more):
        process = popen(*given, **more)
        os.kill(process.pid, signal.SIGKILL)
        return process

    monkeypatch.setattr(decoder_pool.subprocess, "Popen", dying)
    with pytest.raises(WorkerError, match="a decoder process died"):
        read(label_folder)


def test_a_user_s_mistake_in_a_process_is_raised_as_one(tmp_path, processes, png_of):
    columns = {
        packed.ENCODED: [png_of(np.eye(28, dtype=np.uint8) * 255)],
        packed.NAME: ["file:///a.png"],
        packed.LABEL: np.array([-1], np.int64),
        packed.GENERATION: np.array([1], np.int64),
    }
    (tmp_path / "x.tfrecord").write_bytes(encode_records(packed.COLUMNS, columns))
    with pytest.raises(UserError, match=r"a packed image has no label: .*a\.png"):
        RecordsSource(str(tmp_path / "*.tfrecord")).read(validation_fraction=0)


@contextlib.contextmanager
def failing(processes: int):
    """Opens a decoder whose storage fails."""

    def fail(chunk):
        raise StorageError("the store is down", value=chunk, hint="wait")

    yield fail


def test_a_storage_that_fails_in_a_process_is_no_crash(processes):
    with pytest.raises(StorageError, match="the store is down: 'x'"):
        list(decoder_pool.decode_all(failing, ["x"], images=2))


def test_damaged_records_reach_the_processes(tmp_path, processes, png_of, capsys):
    rows = range(200)
    columns = {
        packed.ENCODED: [png_of(np.roll(np.eye(28, dtype=np.uint8) * 255, row, 0)) for row in rows],
        packed.NAME: [f"file:///{row}.png" for row in rows],
        packed.LABEL: np.arange(200) % 10,
        packed.GENERATION: np.ones(200, np.int64),
    }
    data = bytearray(encode_records(packed.COLUMNS, columns))
    data[60] ^= 1
    (tmp_path / "x.tfrecord").write_bytes(data)
    reading = ReadOptions(Rejects(max_rate=0.05), complete=False)
    with contextlib.suppress(UserError):  # of so few kinds of images, a split may lack some digit
        RecordsSource(str(tmp_path / "*.tfrecord"), reading).read(validation_fraction=0)
    assert "left out 1 of 200 images, which cannot be used" in capsys.readouterr().out


def test_pixels_in_a_list_reach_the_processes(label_folder, processes, tmp_path):
    import base64

    lines = ["path,label,pixels"]
    for path in sorted(label_folder.rglob("*.png")):
        lines.append(f"{path},{path.parent.name},{base64.b64encode(path.read_bytes()).decode()}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    found = LabelsSource(str(tmp_path / "list.csv")).read(validation_fraction=0)
    assert found.digest == read(label_folder).digest
