import os
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from trainer.data.reading import TRAIN_SHARE, VALIDATION_SHARE, ReadOptions, Workers, pixel_hashes
from trainer.data.sources import embedded_sample
from trainer.data.sources.file_list import FileList, LabeledFile
from trainer.data.sources.folder import FolderSource, visible_files
from trainer.data.splits import Digits


def read(folder) -> Digits:
    return FolderSource(str(folder)).read(validation_fraction=0.5)


def sides(digits: Digits) -> dict[bytes, str]:
    return {image.tobytes(): name for name, split in digits.splits().items() for image in split.images}


def refusal_of(folder) -> str:
    with pytest.raises(UserError) as refusal:
        read(folder)
    return str(refusal.value)


def test_every_image_is_read_once_with_its_label(label_folder, few_digits):
    digits = read(label_folder)
    read_back = {
        (image.tobytes(), label)
        for split in digits.splits().values()
        for image, label in zip(split.images, split.labels, strict=True)
    }
    written = zip(few_digits.train.images, few_digits.train.labels, strict=True)
    assert read_back == {(image.tobytes(), label) for image, label in written}
    assert sum(len(split) for split in digits.splits().values()) == 400


def test_reading_twice_gives_the_same(label_folder):
    assert read(label_folder).digest == read(label_folder).digest


def test_changed_files_move_no_other_image_to_another_split(label_folder):
    before = sides(read(label_folder))
    extra = embedded_sample.digits().test
    for number, image in enumerate(extra.images[::10]):
        (label_folder / str(extra.labels[number * 10]) / f"new {number}.png").write_bytes(png(image))
    for number, file in enumerate(sorted(label_folder.glob("*/*.png"))):
        if number % 7 == 0:
            file.unlink()
        elif number % 3 == 0:
            file.rename(file.with_name(f"renamed-{number}.jpg"))
    after = sides(read(label_folder))
    kept = before.keys() & after.keys()
    assert len(kept) > 300
    assert {image: before[image] for image in kept} == {image: after[image] for image in kept}


def test_copies_stay_in_one_split(label_folder):
    for file in sorted(label_folder.glob("*/*.png")):
        shutil.copy(file, file.with_name(f"copy of {file.name}"))
    digits = read(label_folder)
    assert sum(len(split) for split in digits.splits().values()) == 800
    pictures = [{image.tobytes() for image in split.images} for split in digits.splits().values()]
    assert sum(map(len, pictures)) == len(set.union(*pictures)) == 400


@given(st.lists(st.integers(0, 255), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_an_images_split_depends_only_on_its_pixels(levels, seed):
    images = np.array(levels, np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    places = pixel_hashes(images)
    assert ((places >= 0) & (places < 1)).all()
    order = np.random.default_rng(seed).permutation(len(images))
    assert pixel_hashes(images[order]).tolist() == places[order].tolist()


def test_shares_are_about_80_10_and_10_in_every_class():
    whole = embedded_sample.digits()
    for images in (whole.train.images[whole.train.labels == label] for label in range(10)):
        place = pixel_hashes(images)
        # 400 images a class: four standard deviations are 8 and 6 points.
        assert abs((place < TRAIN_SHARE).mean() - 0.8) < 0.08
        assert abs((place >= TRAIN_SHARE + VALIDATION_SHARE).mean() - 0.1) < 0.06


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def test_images_are_recognised_by_content_at_any_depth(label_folder, few_digits):
    shutil.move(label_folder / "3", label_folder / "moved")
    (label_folder / "3" / "2026" / "may").mkdir(parents=True)
    shutil.move(label_folder / "moved", label_folder / "3" / "2026" / "may")
    for file in label_folder.glob("5/*.png"):
        file.rename(file.with_suffix(".txt"))
    counts = np.sum([split.class_counts() for split in read(label_folder).splits().values()], axis=0)
    assert counts.tolist() == list(few_digits.train.class_counts())


def test_other_kinds_of_images_become_canonical_digits(label_folder, few_digits):
    big = 255 - cv2.resize(few_digits.test.images[0], (280, 280))
    (label_folder / "0" / "scan.jpg").write_bytes(cv2.imencode(".jpg", big)[1].tobytes())
    assert sum(len(split) for split in read(label_folder).splits().values()) == 401


def test_hidden_files_and_folders_are_ignored(label_folder):
    (label_folder / ".git").mkdir()
    (label_folder / "0" / ".thumbnails").mkdir()
    (label_folder / "0" / ".thumbnails" / "x.png").write_bytes(b"no image")
    (label_folder / "0" / ".DS_Store").write_bytes(b"no image")
    assert sum(len(split) for split in read(label_folder).splits().values()) == 400


def test_junk_is_ignored(label_folder, capsys):
    for name in ("__MACOSX/0/._a.png", "0/Thumbs.db", "3/desktop.ini", "manifest.json", "labels.csv"):
        (label_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (label_folder / name).write_bytes(b"no image")
    assert sum(len(split) for split in read(label_folder).splits().values()) == 400
    assert "not usable" not in capsys.readouterr().out


def test_images_behind_a_link_or_of_any_time_are_read(label_folder, tmp_path):
    os.utime(next((label_folder / "0").iterdir()), ns=(10**19, 10**19))
    (tmp_path / "link").symlink_to(label_folder)
    assert sum(len(split) for split in read(tmp_path / "link" / "..//link/").splits().values()) == 400


def test_a_folder_that_cannot_be_listed_is_refused(label_folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if isinstance(path, bytes) and path.endswith(b"/7"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="cannot list the folder"):
        read(label_folder)


def test_unusable_images_are_named_and_counted(label_folder, capsys):
    (label_folder / "4" / "text.png").write_bytes(b"not an image at all")
    (label_folder / "4" / "nothing.png").write_bytes(b"")
    (label_folder / "4" / "blank.png").write_bytes(png(np.zeros((40, 40), np.uint8)))
    (label_folder / "4" / "gone.png").symlink_to(label_folder / "nowhere")
    digits = read(label_folder)
    printed = capsys.readouterr().out
    assert sum(len(split) for split in digits.splits().values()) == 400
    for name, code in {
        "text": "UNSUPPORTED",
        "nothing": "EMPTY",
        "blank": "BLANK",
        "gone": "MISSING",
    }.items():
        assert any(f"{name}.png" in line and code in line for line in printed.splitlines())
    assert "left out 4 of 404 images, which cannot be used" in printed


def test_more_than_one_percent_unusable_images_stop_the_job(label_folder):
    for number in range(5):
        (label_folder / "7" / f"bad {number}.png").write_bytes(b"no image")
    assert "(--max-bad-rate): '5 of 405" in refusal_of(label_folder)


def test_a_missing_label_folder_is_named(label_folder):
    shutil.rmtree(label_folder / "6")
    assert "Add sub-folders for the labels '6'" in refusal_of(label_folder)


def test_beside_other_sources_a_folder_may_lack_digits(label_folder):
    for digit in ("0", "4"):
        shutil.rmtree(label_folder / digit)
    (label_folder / "5" / "kept").mkdir()
    for file in (label_folder / "5").glob("*.png"):
        file.unlink()
    digits = FolderSource(str(label_folder), ReadOptions(complete=False)).read(validation_fraction=0.1)
    counts = digits.train_counts()
    assert (counts[0], counts[4], counts[5]) == (0, 0, 0)
    assert counts[7] > 0


def test_beside_other_sources_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "3").mkdir()
    with pytest.raises(UserError, match="the folder's images are not sorted into sub-folders 0 to 9"):
        FolderSource(str(tmp_path), ReadOptions(complete=False)).read(validation_fraction=0.1)


def test_an_empty_label_folder_is_named(label_folder):
    shutil.rmtree(label_folder / "6")
    (label_folder / "6" / "deeper").mkdir(parents=True)
    (label_folder / "6" / ".keep").touch()
    assert "Put images into the empty sub-folders '6'" in refusal_of(label_folder)


@pytest.mark.parametrize("name", ["cat", "10", "07", "²"])
def test_a_folder_that_is_no_label_is_named(label_folder, name):
    (label_folder / name).mkdir()
    assert f"Rename or move {name!r}" in refusal_of(label_folder)


def test_a_folder_of_folders_without_labels_is_refused(tmp_path):
    (tmp_path / "zero").mkdir()
    message = refusal_of(tmp_path)
    assert "sub-folders 0 to 9" in message
    assert str(tmp_path) in message


def test_a_missing_folder_and_a_file_are_refused(tmp_path):
    (tmp_path / "file").touch()
    assert "No such file" in refusal_of(tmp_path / "missing")
    assert "Not a directory" in refusal_of(tmp_path / "file")


def test_files_outside_the_label_folders_are_mentioned(label_folder, capsys):
    (label_folder / "README.txt").write_text("where they come from")
    read(label_folder)
    assert "not used, since outside the label folders: 'README.txt'" in capsys.readouterr().out


def small_folder(tmp_path, per_class: int):
    whole = embedded_sample.digits().train
    for label in range(10):
        folder = tmp_path / "small" / str(label)
        folder.mkdir(parents=True)
        for number, image in enumerate(whole.images[whole.labels == label][:per_class]):
            (folder / f"{number}.png").write_bytes(png(image))
    return tmp_path / "small"


def test_a_class_missing_from_a_split_is_reported(tmp_path, capsys):
    digits = read(small_folder(tmp_path, 6))
    printed = capsys.readouterr().out
    assert min(digits.train.class_counts()) > 0
    for name in ("validation", "test"):
        absent = [label for label, count in enumerate(digits.splits()[name].class_counts()) if count == 0]
        assert absent
        assert f"no {name} image for {absent[0]!r}"[:-1] in printed.replace("'", "")


def test_a_class_with_nothing_to_train_on_is_refused(tmp_path, label_folder):
    held_out = next(
        file
        for file in sorted(label_folder.glob("2/*.png"))
        if pixel_hashes(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[None])[0] >= TRAIN_SHARE
    )
    picture = held_out.read_bytes()
    shutil.rmtree(label_folder / "2")
    (label_folder / "2").mkdir()
    (label_folder / "2" / "only.png").write_bytes(picture)
    assert "none is left to train '2' on" in refusal_of(label_folder)


def test_a_folder_without_test_images_is_refused(label_folder):
    for image, name in sides(read(label_folder)).items():
        if name == "test":
            for file in label_folder.glob("*/*.png"):
                if cv2.imread(str(file), cv2.IMREAD_UNCHANGED).tobytes() == image:
                    file.unlink()
    assert "none is left to test with" in refusal_of(label_folder)


class Told:
    """An exchange in which the chief has listed the files, and this worker stands for all."""

    def __init__(self, listing: bytes) -> None:
        self._listing = listing

    def __call__(self, data: bytes) -> list[bytes]:
        first, self._listing = self._listing, b""
        return [b"+" + first, b""] if first else [data, data]


def test_a_worker_may_have_a_copy_of_its_own(label_folder):
    """On another machine, the files of a copy have other times than those that the chief lists."""
    files = [LabeledFile(image, int(folder)) for folder, image in visible_files(str(label_folder))]
    exchange = Told(FileList.of(files).to_bytes())
    for file in label_folder.glob("*/*.png"):
        os.utime(file, (1, 1))
    found = FolderSource(str(label_folder)).read(validation_fraction=0, workers=Workers(1, 2, exchange))
    assert len(found.train) > 100


CHANGES = {
    "touched": lambda file: os.utime(file, ns=(1, 1)),
    "renamed": lambda file: file.rename(file.with_name("other.png")),
    "gone": lambda file: file.unlink(),
    "moved": lambda file: file.rename(file.parents[1] / "4" / "new.png"),
    "copied": lambda file: shutil.copy(file, file.with_name("copy.png")),
    "grown": lambda file: file.write_bytes(file.read_bytes() + b"x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_not_taken_from_the_cache(label_folder, tmp_path, change, capsys):
    def from_cache() -> bool:
        reading = ReadOptions(cache_dir=tmp_path / "cache")
        FolderSource(str(label_folder), reading).read(validation_fraction=0)
        return "taking from" in capsys.readouterr().out

    assert [from_cache(), from_cache()] == [False, True]
    CHANGES[change](sorted((label_folder / "3").iterdir())[0])
    assert not from_cache()


def test_a_folder_of_unreadable_pictures_is_no_digit(label_folder, few_digits):
    alone = read(label_folder)
    (label_folder / "unreadable" / "letters").mkdir(parents=True)
    for number, image in enumerate(few_digits.test.images[:40]):
        (label_folder / "unreadable" / "letters" / f"{number}.png").write_bytes(png(255 - image[::-1]))
    digits = read(label_folder)
    assert sum(split.not_digits for split in digits.splits().values()) == 40
    assert digits.train_not_digits() == digits.train.not_digits
    assert digits.train_images() == len(digits.train)
    for name, split in digits.splits().items():
        assert split.class_counts() == alone.splits()[name].class_counts()
    assert digits.digest != alone.digest


def test_blank_unreadable_pictures_are_left_out_without_a_complaint(label_folder, capsys):
    (label_folder / "unreadable").mkdir()
    blank = png(np.full((40, 40), 255, np.uint8))
    for number in range(30):
        (label_folder / "unreadable" / f"{number}.png").write_bytes(blank)
    digits = read(label_folder)
    assert sum(split.not_digits for split in digits.splits().values()) == 0
    assert "not usable" not in capsys.readouterr().out
