import concurrent.futures
import gzip
import struct

import cv2
import numpy as np
import pytest
import tensorflow as tf

from digitmill.storage import list_place
from digitmill.storage.names import place_of
from schemas import packed
from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError
from tests.trainer.data.meeting import Meeting
from trainer.data.reading import ReadOptions, Workers
from trainer.data.rejects import Rejects
from trainer.data.sources.folder import FolderSource
from trainer.data.sources.tfrecord_source import RecordsSource
from trainer.data.splits import Digits


def feature(value: object) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def record(content: object, label: object = 3, name: str = "file:///x.png") -> bytes:
    features = {packed.ENCODED: content, packed.NAME: name.encode(), packed.LABEL: label}
    given = {key: feature(value) for key, value in features.items() if value is not None}
    return tf.train.Example(features=tf.train.Features(feature=given)).SerializeToString()


def write_shard(path, records) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one in records:
            writer.write(one)


@pytest.fixture
def shards(tmp_path, few_digits):
    """The 400 training digits in four shards."""
    train = few_digits.train
    pngs = [cv2.imencode(".png", image)[1].tobytes() for image in train.images]
    records = [
        record(png, int(label), f"file:///{number}.png")
        for number, (png, label) in enumerate(zip(pngs, train.labels, strict=True))
    ]
    (tmp_path / "packed").mkdir()
    for number in range(4):
        write_shard(tmp_path / "packed" / f"packed-{number}.tfrecord", records[number::4])
    return tmp_path / "packed"


def read(pattern, *, max_rate: float = 0.05) -> Digits:
    reading = ReadOptions(Rejects(max_rate=max_rate))
    return RecordsSource(str(pattern), reading).read(validation_fraction=0.5)


def contents(digits: Digits) -> dict[str, set]:
    return {
        name: {(image.tobytes(), label) for image, label in zip(split.images, split.labels, strict=True)}
        for name, split in digits.splits().items()
    }


def refusal_of(pattern) -> str:
    with pytest.raises(UserError) as refusal:
        read(pattern)
    return str(refusal.value)


def test_a_pack_gives_the_splits_of_its_folder(shards, label_folder):
    digits = read(shards / "*.tfrecord")
    folder = FolderSource(str(label_folder)).read(validation_fraction=0.5)
    assert contents(digits) == contents(folder)
    assert sum(len(split) for split in digits.splits().values()) == 400
    assert digits.name == f"tfrecord:{shards}/*.tfrecord"


def test_reading_twice_gives_the_same(shards):
    assert read(shards / "*").digest == read(shards / "*").digest


PATTERNS = {"[0-1].tfrecord": ["[0-1]"], "[0-1].*": ["0", "1"]}


def test_a_path_with_brackets_is_taken_as_it_is(tmp_path):
    for name in ("0", "1", "[0-1]"):
        (tmp_path / f"{name}.tfrecord").touch()
    found = {
        pattern: [place_of(file.uri) for file in list_place(f"{tmp_path}/{pattern}")] for pattern in PATTERNS
    }
    assert found == {
        pattern: [f"{tmp_path}/{name}.tfrecord" for name in names] for pattern, names in PATTERNS.items()
    }


def test_unusable_images_are_named_and_counted(shards, capsys):
    bad = {"text": b"not an image", "empty": b"", "absent": None, "number": 7}
    records = [record(content, name=f"file:///{name}.png") for name, content in bad.items()]
    good = record(cv2.imencode(".png", np.eye(28, dtype=np.uint8) * 255)[1].tobytes(), 11)
    write_shard(shards / "more.tfrecord", [*records, good, b"no message"])
    digits = read(shards / "*.tfrecord")
    printed = capsys.readouterr().out
    assert sum(len(split) for split in digits.splits().values()) == 400
    assert "left out 6 of 406 images, which cannot be used" in printed
    for words in (
        ["more.tfrecord[0] file:///text.png", "UNSUPPORTED"],
        ["more.tfrecord[1] file:///empty.png", "EMPTY"],
        ["more.tfrecord[2]", "without image/encoded"],
        ["more.tfrecord[3]", "without image/encoded"],
        ["more.tfrecord[4]", "image/label is 11, not a digit"],
        ["more.tfrecord[5]", "not a tf.train.Example"],
    ):
        assert any(all(word in line for word in words) for line in printed.splitlines())


def test_images_without_a_label_are_refused(shards):
    write_shard(shards / "more.tfrecord", [record(b"x", None, "file:///in/a.png")])
    message = refusal_of(shards / "*.tfrecord")
    assert "file:///in/a.png" in message
    assert "--labels folder" in message


def record_ends(data: bytes) -> list[int]:
    ends, at = [], 0
    while at < len(data):
        at += 16 + struct.unpack_from("<Q", data, at)[0]
        ends.append(at)
    return ends


def damage(path, *, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_damaged_record_costs_itself_alone(shards, capsys):
    shard = shards / "packed-2.tfrecord"
    damage(shard, at=record_ends(shard.read_bytes())[89] + 50)
    digits = read(shards / "*.tfrecord")
    printed = capsys.readouterr().out
    assert sum(len(split) for split in digits.splits().values()) == 399
    assert "left out 1 of 400 images, which cannot be used" in printed
    assert "packed-2.tfrecord[90]': CORRUPT: the record at byte" in printed
    assert "payload does not match its checksum" in printed


def test_gzipped_shards_are_read_like_others(shards, tmp_path):
    digest = read(shards / "*.tfrecord").digest
    for shard in sorted(shards.glob("*.tfrecord")):
        shard.write_bytes(gzip.compress(shard.read_bytes()))
    assert read(shards / "*.tfrecord").digest == digest


@pytest.mark.parametrize("workers", [2, 5])
def test_a_cut_gzip_costs_what_is_cut_and_is_counted_once(shards, workers, capsys):
    shard = shards / "packed-3.tfrecord"
    data = gzip.compress(shard.read_bytes()[: record_ends(shard.read_bytes())[89] + 50])
    shard.write_bytes(data[:-8])
    by_workers(shards / "*.tfrecord", workers)
    printed = capsys.readouterr().out
    assert "CORRUPT: the gzip data is damaged" in printed
    assert "left out 1 of 391 images, which cannot be used" in printed


def test_losing_more_than_the_budget_stops_the_job(shards):
    shard = shards / "packed-2.tfrecord"
    for number in range(5):
        damage(shard, at=record_ends(shard.read_bytes())[10 * number] + 50)
    assert len(read(shards / "*.tfrecord", max_rate=0.0125).train)
    with pytest.raises(UserError, match=r"max-bad-rate.*'5 of 400"):
        read(shards / "*.tfrecord", max_rate=0.012)


def test_a_cut_shard_is_noticed(shards, capsys):
    shard = shards / "packed-3.tfrecord"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-20])
    assert sum(len(split) for split in read(shards / "*.tfrecord").splits().values()) == 399
    printed = capsys.readouterr().out
    start = record_ends(whole)[98]
    assert f"packed-3.tfrecord[at-{start}]': CORRUPT: the record at byte {start:,}" in printed
    assert "is cut short" in printed


def test_a_damaged_length_costs_its_own_record(shards, capsys):
    shard = shards / "packed-0.tfrecord"
    start = record_ends(shard.read_bytes())[49]
    damage(shard, at=start + 7)
    assert sum(len(split) for split in read(shards / "*.tfrecord").splits().values()) == 399
    printed = capsys.readouterr().out
    assert f"packed-0.tfrecord[at-{start}]': CORRUPT: the record at byte {start:,} is damaged" in printed
    assert "are lost" in printed


def test_a_damaged_span_counts_once_whatever_its_size(shards, capsys):
    shard = shards / "packed-0.tfrecord"
    shard.write_bytes(shard.read_bytes() + bytes(2**20))
    assert sum(len(split) for split in read(shards / "*.tfrecord").splits().values()) == 400
    assert "left out 1 of 401 images, which cannot be used" in capsys.readouterr().out


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_shares_are_disjoint_and_complete(shards, workers):
    whole = read(shards / "*.tfrecord")
    reads = [
        RecordsSource(str(shards / "*.tfrecord")).read(validation_fraction=0, workers=Workers(index, workers))
        for index in range(workers)
    ]
    trained = [image.tobytes() for one in reads for image in one.train.images]
    assert sorted(trained) == sorted(image.tobytes() for image in whole.train.images)
    assert len({one.digest for one in reads} | {whole.digest}) == 1


def by_workers(pattern, workers: int, *, max_rate: float = 0.05) -> list[Digits]:
    """What each of several workers, threads that exchange what they read, has of the shards."""
    meeting = Meeting(workers)

    def work(index: int) -> Digits:
        source = RecordsSource(str(pattern), ReadOptions(Rejects(max_rate=max_rate)))
        return source.read(validation_fraction=0, workers=Workers(index, workers, meeting.of(index)))

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, range(workers)))


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_workers_that_exchange_each_decode_their_own_share(shards, workers):
    whole = read(shards / "*.tfrecord")
    shared = by_workers(shards / "*.tfrecord", workers)
    trained = [image.tobytes() for one in shared for image in one.train.images]
    assert sorted(trained) == sorted(image.tobytes() for image in whole.train.images)
    for one in shared:
        assert (one.validation.images == whole.validation.images).all()
        assert (one.test.images == whole.test.images).all()
        assert one.digest == whole.digest


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("cuts", [[360], [20, 380], [1, 2, 3, 4]])
def test_shares_are_equal_however_shards_were_cut(tmp_path, few_digits, workers, cuts):
    """Sorted by label, as a folder is listed, and cut unevenly."""
    train = few_digits.train
    order = np.argsort(train.labels, kind="stable")
    records = [
        record(cv2.imencode(".png", train.images[row])[1].tobytes(), int(train.labels[row])) for row in order
    ]
    for number, part in enumerate(np.split(np.arange(len(records)), cuts)):
        write_shard(tmp_path / f"{number}.tfrecord", [records[row] for row in part])
    shared = by_workers(tmp_path / "*.tfrecord", workers)
    sizes = [len(one.train) for one in shared]
    # The split of an image is chance; with whole shards as shares it was a tenth of this.
    assert min(sizes) * workers > 0.85 * sum(sizes)
    for one in shared:
        assert all(one.train.class_counts())


def test_patterns_that_match_nothing_are_refused_before_anything_is_read(shards):
    with pytest.raises(UserError, match="no file matches tfrecord:GLOB"):
        RecordsSource(str(shards / "*.tfr"))
    with pytest.raises(UserError, match=r"tfrecord:.*packed/packed-\*\.tfrecord"):
        RecordsSource(str(shards))


def test_empty_shards_are_refused(tmp_path):
    write_shard(tmp_path / "x.tfrecord", [])
    assert "the packed shards hold no images" in refusal_of(tmp_path / "x.tfrecord")


def test_too_few_images_are_not_taken_for_none(tmp_path):
    png = cv2.imencode(".png", np.eye(28, dtype=np.uint8) * 255)[1].tobytes()
    write_shard(tmp_path / "x.tfrecord", [record(png)])
    assert "Add more images" in refusal_of(tmp_path / "x.tfrecord")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "'1 of 1 in" in refusal_of(tmp_path / "x.png")


def test_making_one_needs_no_tensorflow(run_python, shards):
    code = (
        "import sys; from trainer.data.sources.tfrecord_source import RecordsSource as R; "
        f"R({str(shards / '*')!r})"
    )
    assert "False" in run_python(f"{code}; print('tensorflow' in sys.modules)")


def test_packed_pictures_may_be_no_digit(shards, few_digits):
    pngs = [cv2.imencode(".png", 255 - image[::-1])[1].tobytes() for image in few_digits.test.images[:40]]
    write_shard(shards / "more.tfrecord", [record(each, NOT_A_DIGIT) for each in pngs])
    digits = read(shards / "*.tfrecord")
    assert sum(split.not_digits for split in digits.splits().values()) == 40
    assert sum(len(split) for split in digits.splits().values()) == 440
