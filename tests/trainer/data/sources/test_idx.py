import gzip

import cv2
import numpy as np
import pytest

from digitmill.storage import list_place
from schemas.errors import UserError
from tests.trainer.idx_files import idx_bytes, write_idx, write_set
from trainer.data.reading import ReadOptions, Workers
from trainer.data.rejects import Rejects
from trainer.data.sources.idx import IdxSource
from trainer.data.sources.idx_format import open_idx
from trainer.data.splits import Digits, held_out


def read(path, fraction: float = 0.0, *, max_rate: float = 0.01) -> Digits:
    return IdxSource(str(path), ReadOptions(Rejects(max_rate=max_rate))).read(validation_fraction=fraction)


def refusal_of(path) -> str:
    with pytest.raises(UserError) as refusal:
        read(path)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("ending", ["-ubyte.gz", "-ubyte", ".gz"])
def test_the_four_files_are_read_byte_for_byte(tmp_path, few_digits, ending):
    digits = read(write_set(tmp_path, few_digits, ending=ending))
    assert (digits.train.images == few_digits.train.images).all()
    assert digits.train.labels.tolist() == few_digits.train.labels.tolist()
    assert (digits.test.images == few_digits.test.images).all()
    assert digits.validation is None
    assert digits.name == f"idx:{tmp_path}"


def test_names_with_dots_as_some_unzip_them(tmp_path, few_digits):
    write_set(tmp_path, few_digits, ending="-ubyte")
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    assert len(read(tmp_path).train) == 400


def test_mnist_itself(shared_data):
    digits = read(shared_data / "mnist", 5_000 / 60_000)
    assert [len(split) for split in digits.splits().values()] == [55_000, 5_000, 10_000]
    assert digits.test.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_the_hold_out_is_that_of_the_labels(tmp_path, few_digits):
    digits = read(write_set(tmp_path, few_digits), 0.2)
    out = held_out(few_digits.train.labels, 0.2)
    assert (digits.train.images == few_digits.train.images[~out]).all()
    assert (digits.validation.images == few_digits.train.images[out]).all()


@pytest.mark.parametrize("workers", [2, 3])
def test_shards_are_disjoint_and_complete_and_hold_out_the_same(tmp_path, few_digits, workers):
    source = IdxSource(str(write_set(tmp_path, few_digits)))
    alone = source.read(validation_fraction=0.2)
    shared = [
        source.read(validation_fraction=0.2, workers=Workers(index, workers)) for index in range(workers)
    ]
    trained = sorted(image.tobytes() for one in shared for image in one.train.images)
    assert trained == sorted(image.tobytes() for image in alone.train.images)
    for one in shared:
        assert (one.validation.images == alone.validation.images).all()
        assert (one.test.images == alone.test.images).all()
        assert one.digest == alone.digest


def test_emnist_is_transposed(tmp_path, few_digits):
    lying = Digits(
        "x",
        type(few_digits.train)(few_digits.train.images.transpose(0, 2, 1).copy(), few_digits.train.labels),
        None,
        type(few_digits.test)(few_digits.test.images.transpose(0, 2, 1).copy(), few_digits.test.labels),
    )
    folder = write_set(tmp_path, lying, prefix="emnist-digits-")
    assert (read(folder).train.images == few_digits.train.images).all()


def test_one_set_of_several_is_named_by_what_its_names_begin_with(tmp_path, few_digits):
    write_set(tmp_path, few_digits, prefix="emnist-digits-")
    write_set(tmp_path, few_digits)
    assert "idx:" in refusal_of(tmp_path)
    assert "emnist-digits-" in refusal_of(tmp_path)
    assert len(read(tmp_path / "emnist-digits").train) == 400
    assert "Check the folder" in refusal_of(tmp_path / "emnist-letters")


def test_unzipped_files_are_preferred(tmp_path, few_digits):
    write_set(tmp_path, few_digits, ending="-ubyte.gz")
    write_set(tmp_path, few_digits, ending="-ubyte")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    assert len(read(tmp_path).train) == 400


@pytest.mark.parametrize("missing", ["train-images-idx3", "t10k-labels-idx1"])
def test_a_missing_file_is_named(tmp_path, few_digits, missing):
    write_set(tmp_path, few_digits)
    (tmp_path / f"{missing}-ubyte.gz").unlink()
    assert f"{missing}-ubyte" in refusal_of(tmp_path)


@pytest.mark.parametrize("path", ["nothing", "file", ""])
def test_a_folder_without_such_files_is_refused(tmp_path, path):
    (tmp_path / "file").touch()
    assert "lacks one of the files train-images" in refusal_of(tmp_path / path)


IMAGES = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "magic number is missing"),
        (b"\0\0\x08", "magic number"),
        (b"\0\0\x0d" + idx_bytes(IMAGES)[3:], "magic number is 00000d03"),
        (b"\x01" + idx_bytes(IMAGES)[1:], "magic number is 01000803"),
        (b"\0\0\x08\0", "magic number is 00000800"),
        (idx_bytes(IMAGES)[:10], "ends within its header"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "announces"),
        (idx_bytes(IMAGES)[:-1], "ends in row 2 of 3"),
        (idx_bytes(IMAGES) + b"x", "it has data after its 3 rows"),
        (gzip.compress(idx_bytes(IMAGES))[:-20], "cannot be unzipped"),
        (gzip.compress(idx_bytes(IMAGES))[:100] + b"damaged" * 50, "cannot be unzipped"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(tmp_path, data, said):
    (tmp_path / "x").write_bytes(data)
    with (
        pytest.raises(UserError, match=f"Fetch it again: .*{said}"),
        open_idx(*list_place(str(tmp_path / "x")), dimensions=3) as file,
    ):
        list(file.rows(2))


def test_images_and_labels_that_were_mixed_up_are_refused(tmp_path, few_digits):
    write_set(tmp_path, few_digits)
    (tmp_path / "train-labels-idx1-ubyte.gz").rename(tmp_path / "x")
    (tmp_path / "train-images-idx3-ubyte.gz").rename(tmp_path / "train-labels-idx1-ubyte.gz")
    (tmp_path / "x").rename(tmp_path / "train-images-idx3-ubyte.gz")
    assert "images and labels were swapped" in refusal_of(tmp_path)


def test_other_counts_than_the_labels_are_refused(tmp_path, few_digits):
    write_set(tmp_path, few_digits)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", few_digits.test.labels[:-1])
    assert "103 images" in refusal_of(tmp_path)
    assert "102 labels" in refusal_of(tmp_path)


def test_pictures_of_another_size_become_canonical(tmp_path, few_digits):
    write_set(tmp_path, few_digits)
    big = np.stack([255 - cv2.resize(image, (84, 84)) for image in few_digits.test.images])
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", big)
    digits = read(tmp_path)
    assert digits.test.images.shape == few_digits.test.images.shape
    assert np.abs(digits.test.images.astype(int) - few_digits.test.images).mean() < 20


def test_blank_pictures_and_labels_that_are_no_digits_are_named(tmp_path, few_digits, capsys):
    images, labels = few_digits.train.images.copy(), few_digits.train.labels.copy()
    images[7] = 0
    labels[9] = 10
    write_set(tmp_path, few_digits)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", labels)
    assert len(read(tmp_path).train) == 398
    printed = capsys.readouterr().out
    assert "train-images-idx3-ubyte.gz[7]': BLANK" in printed
    assert "train-images-idx3-ubyte.gz[9]': UNSUPPORTED: its label 10 is not a digit" in printed


def test_letters_are_refused(tmp_path, few_digits):
    write_set(tmp_path, few_digits)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", few_digits.train.labels + 1)
    assert "is not a digit" in refusal_of(tmp_path)


def test_making_one_needs_no_tensorflow(run_python, tmp_path, few_digits):
    write_set(tmp_path, few_digits)
    code = f"import sys; from trainer.data.sources.idx import IdxSource as I; source = I({str(tmp_path)!r})"
    read_all = "source.read(validation_fraction=0)"
    assert "False" in run_python(f"{code}; {read_all}; print('tensorflow' in sys.modules)")
