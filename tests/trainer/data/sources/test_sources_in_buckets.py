"""Every kind of source in a bucket gives what it gives on disk."""

import pathlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import pytest

from schemas.errors import UserError
from tests.gcs_emulator import Bucket, Proxy
from tests.trainer.data.meeting import Meeting
from tests.trainer.data.sources.test_tfrecord_source import record, write_shard
from tests.trainer.idx_files import write_set
from trainer.data.reading import ReadOptions, Workers
from trainer.data.rejects import Rejects
from trainer.data.sources.source_specs import open_sources


@pytest.fixture
def folder(tmp_path: pathlib.Path, label_folder, few_digits) -> pathlib.Path:
    """Every kind of source that is made of files, of the same digits."""
    write_set(tmp_path / "idx", few_digits)
    rows = [
        f"labeled/{file.parent.name}/{file.name},{file.parent.name}" for file in label_folder.glob("*/*.png")
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    train = few_digits.train
    records = [
        record(cv2.imencode(".png", image)[1].tobytes(), int(label))
        for image, label in zip(train.images, train.labels, strict=True)
    ]
    (tmp_path / "packed").mkdir()
    for number in range(3):
        write_shard(tmp_path / "packed" / f"packed-{number}.tfrecord", records[number::3])
    return tmp_path


def upload(folder: pathlib.Path, bucket: Bucket) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            bucket.put(f"data/{file.relative_to(folder)}", file.read_bytes())


KINDS = ("folder:{}/labeled", "idx:{}/idx", "labels:{}/labels.csv", "tfrecord:{}/packed/*.tfrecord")


def test_each_kind_reads_the_same_from_a_bucket(folder, bucket: Bucket) -> None:
    upload(folder, bucket)
    for kind in KINDS:
        local = open_sources(kind.format(folder)).read(validation_fraction=0.1)
        remote = open_sources(kind.format(f"{bucket.uri}/data")).read(validation_fraction=0.1)
        assert remote.digest == local.digest
        assert {name: split.labels.tolist() for name, split in remote.splits().items()} == {
            name: split.labels.tolist() for name, split in local.splits().items()
        }


def test_what_was_decoded_is_not_fetched_again_until_it_changes(
    folder, bucket: Bucket, proxy: Proxy, tmp_path
):
    upload(folder, bucket)

    def read(kind: str):
        reading = ReadOptions(Rejects(max_rate=0.1), cache_dir=str(tmp_path / "cache"))
        return open_sources(kind.format(f"{bucket.uri}/data"), reading=reading).read(validation_fraction=0)

    for kind in (KINDS[0], KINDS[3]):
        first = read(kind)
        before = proxy.reads()
        assert read(kind).digest == first.digest
        # The heads of the three shards say how large records are.
        assert proxy.reads() - before == (3 if kind == KINDS[3] else 0)
    bucket.put("data/labeled/3/new.png", b"damaged")
    before = proxy.reads()
    read(KINDS[0])
    assert proxy.reads() == before + 401


def test_workers_fetch_each_image_once(folder, bucket: Bucket, proxy: Proxy) -> None:
    upload(folder, bucket)
    meeting = Meeting(4)

    def read(index: int) -> None:
        source = open_sources(KINDS[0].format(f"{bucket.uri}/data"))
        source.read(validation_fraction=0, workers=Workers(index, 4, meeting.of(index)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
    assert proxy.reads() == 400


def test_a_buckets_folder_is_checked_at_once(folder, bucket: Bucket) -> None:
    bucket.put("data/cat/x.png", b"x")
    with pytest.raises(UserError, match="Rename or move 'cat'"):
        open_sources(f"folder:{bucket.uri}/data")
    with pytest.raises(UserError, match="Add sub-folders for the labels"):
        open_sources(f"folder:{bucket.uri}/nothing")
    with pytest.raises(UserError, match="no file matches tfrecord:GLOB"):
        open_sources(f"tfrecord:{bucket.uri}/nothing/*")
    with pytest.raises(UserError, match="lacks one of the files train-images"):
        open_sources(f"idx:{bucket.uri}/nothing")


def test_an_object_that_vanishes_is_one_reject(folder, bucket: Bucket, capsys) -> None:
    upload(folder, bucket)
    source = open_sources(KINDS[0].format(f"{bucket.uri}/data"))
    bucket.delete("data/labeled/0/" + sorted(file.name for file in (folder / "labeled/0").iterdir())[0])
    assert sum(len(split) for split in source.read(validation_fraction=0).splits().values()) == 399
    assert "MISSING: no such object" in capsys.readouterr().out
