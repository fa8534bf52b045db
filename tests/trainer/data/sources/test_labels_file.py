import base64
import csv
import hashlib
import pathlib
import urllib.parse

import pytest

from schemas.errors import UserError
from trainer.data.reading import ALONE, ReadOptions, Workers
from trainer.data.rejects import Rejects
from trainer.data.sources.folder import FolderSource
from trainer.data.sources.labels_file import LabelsSource
from trainer.data.sources.source_specs import open_sources
from trainer.data.splits import Digits


def read(path, *, max_rate: float = 0.01) -> Digits:
    return LabelsSource(str(path), ReadOptions(Rejects(max_rate=max_rate))).read(validation_fraction=0.5)


def images_of(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("*/*.png"))


def write(path: pathlib.Path, rows, header: str = "path,label") -> pathlib.Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def refusal_of(path) -> str:
    with pytest.raises(UserError) as refusal:
        read(path)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def sides(digits: Digits) -> dict[str, set]:
    return {
        name: {(image.tobytes(), label) for image, label in zip(split.images, split.labels, strict=True)}
        for name, split in digits.splits().items()
    }


def absolute(file: pathlib.Path) -> str:
    return str(file)


def relative(file: pathlib.Path) -> str:
    return f"labeled/{file.parent.name}/{file.name}"


def uri(file: pathlib.Path) -> str:
    return f"file://{urllib.parse.quote(str(file))}"


@pytest.mark.parametrize("named", [absolute, relative, uri])
def test_a_list_of_a_folder_gives_the_splits_of_the_folder(tmp_path, label_folder, named):
    rows = [f"{named(file)},{file.parent.name}" for file in images_of(label_folder)]
    digits = read(write(tmp_path / "labels.csv", rows))
    assert sides(digits) == sides(FolderSource(str(label_folder)).read(validation_fraction=0))
    assert digits.name == f"labels:{tmp_path}/labels.csv"


def test_other_columns_the_order_and_a_byte_order_mark_do_not_matter(tmp_path, label_folder):
    rows = [f'"a, b",{file.parent.name},0.5,{file}' for file in images_of(label_folder)]
    path = write(tmp_path / "labels.csv", rows, header="\ufeffcomment,label,confidence,path")
    assert sum(len(split) for split in read(path).splits().values()) == 400


def test_lines_without_a_label_are_left_out_and_counted(tmp_path, label_folder, capsys):
    rows = [
        f"{file},{'' if number < 3 else file.parent.name}"
        for number, file in enumerate(images_of(label_folder))
    ]
    digits = read(write(tmp_path / "labels.csv", rows))
    assert sum(len(split) for split in digits.splits().values()) == 397
    assert "left out 3 lines without a label" in capsys.readouterr().out


def test_an_image_that_is_named_twice_counts_once(tmp_path, label_folder):
    rows = [f"{file},{file.parent.name}" for file in images_of(label_folder)]
    assert (
        sum(len(split) for split in read(write(tmp_path / "l.csv", rows + rows[:9])).splits().values()) == 400
    )


def digest(file: pathlib.Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("column", "spell"),
    [("sha256", str), ("digest", str), ("digest", "sha256:{}".format), ("sha256", str.upper)],
)
def test_moved_and_changed_images_are_named(tmp_path, label_folder, capsys, column, spell):
    files = images_of(label_folder)
    rows = [f"{file},{file.parent.name},{spell(digest(file))}" for file in files]
    rows[5] = rows[5].rpartition(",")[0] + ","  # not known for this one
    path = write(tmp_path / "labels.csv", rows, header=f"path,label,{column}")
    assert sum(len(split) for split in read(path).splits().values()) == 400
    files[5].write_bytes(files[6].read_bytes())
    files[7].write_bytes(files[8].read_bytes())
    files[9].rename(tmp_path / "moved.png")
    assert sum(len(split) for split in read(path).splits().values()) == 398
    printed = capsys.readouterr().out
    assert f"'{files[7]}': CHANGED: its SHA-256 is {digest(files[8])}" in printed
    assert f"'{files[9]}': MISSING" in printed


def test_a_list_whose_images_are_gone_is_refused(tmp_path):
    path = write(tmp_path / "labels.csv", [f"{number}.png,{number % 10}" for number in range(100)])
    assert "'100 of 100" in refusal_of(path)


def test_missing_classes_are_allowed(tmp_path, label_folder):
    rows = [f"{file},{file.parent.name}" for file in images_of(label_folder) if file.parent.name in "37"]
    digits = read(write(tmp_path / "labels.csv", rows))
    assert [label for label, count in enumerate(digits.train_counts()) if count] == [3, 7]


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (["a.png,1"], "file,label", "Add the header path,label"),
        ([], "path,label", "Add lines path,label"),
        (["a.png,"], "path,label", "Add lines path,label"),
        (
            ["a.png,ten"],
            "path,label",
            "the label is neither a digit from 0 to 9 nor unreadable: 'ten'. Correct line 2",
        ),
        (["a.png,1", "b.png,12"], "path,label", "'12'. Correct line 3"),
        (["a.png,1", "a.png,2"], "path,label", "the image has two labels"),
        (["a.png,1", "./a.png,1", "a.png,2"], "path,label", "Correct line 4"),
        ([",1"], "path,label", "the line names no image"),
        (["a.png,1,abc"], "path,label,sha256", "not a SHA-256 of 64 hexadecimal digits"),
        (["http://b/a.png,1"], "path,label", "neither a path nor a URI of file:///"),
    ],
)
def test_an_invalid_line_is_refused_with_its_number(tmp_path, rows, header, said):
    assert said in refusal_of(write(tmp_path / "labels.csv", rows, header=header))


def test_an_invalid_csv_is_refused(tmp_path):
    # The csv module's limit is global, and libraries raise it.
    before = csv.field_size_limit(1_000)
    try:
        refusal = refusal_of(write(tmp_path / "labels.csv", ["x" * 2_000 + ",1"]))
    finally:
        csv.field_size_limit(before)
    assert "Field larger than field limit" in refusal


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "No such file" in refusal_of(tmp_path / "labels.csv")
    assert "not a regular file" in refusal_of(tmp_path)


def test_names_that_are_no_utf_8_are_found(tmp_path, label_folder):
    files = images_of(label_folder)
    odd = bytes(label_folder / "0") + b'/caf\xe9, "2".png'
    with open(odd, "wb") as file:
        file.write(files[0].read_bytes())
    rows = [f"{file},{file.parent.name}".encode() for file in files[1:]]
    quoted = b'"' + odd.replace(b'"', b'""') + b'",0'
    (tmp_path / "labels.csv").write_bytes(b"\n".join([b"path,label", quoted, *rows]))
    assert sum(len(split) for split in read(tmp_path / "labels.csv").splits().values()) == 400


def test_unreadable_images_are_no_digits_and_are_counted(tmp_path, label_folder, capsys):
    rows = [
        f"{file},{'unreadable' if number % 100 == 0 else file.parent.name}"
        for number, file in enumerate(images_of(label_folder))
    ]
    digits = read(write(tmp_path / "labels.csv", rows))
    assert sum(sum(split.class_counts()) for split in digits.splits().values()) == 396
    assert sum(split.not_digits for split in digits.splits().values()) == 4
    assert "4 images labeled unreadable" in capsys.readouterr().out


def pixels_of(file: pathlib.Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def test_embedded_images_need_no_file(tmp_path, label_folder):
    files = images_of(label_folder)
    rows = [
        f"s3://bucket/a.zip!{number}.png,{file.parent.name},{'0' * 64},{pixels_of(file)}"
        if number % 2
        else f"{file},{file.parent.name},{digest(file)},"
        for number, file in enumerate(files)
    ]
    digits = read(write(tmp_path / "labels.csv", rows, header="path,label,sha256,pixels"))
    assert sides(digits) == sides(FolderSource(str(label_folder)).read(validation_fraction=0))


def test_several_workers_share_embedded_images(tmp_path, label_folder):
    rows = [
        f"a.zip!{number}.png,{file.parent.name},{pixels_of(file)}"
        for number, file in enumerate(images_of(label_folder))
    ]
    path = write(tmp_path / "labels.csv", rows, header="path,label,pixels")
    whole, *shares = (
        LabelsSource(str(path)).read(validation_fraction=0, workers=workers)
        for workers in (ALONE, Workers(0, 2), Workers(1, 2))
    )
    assert {share.digest for share in shares} == {whole.digest}
    assert sum(len(share.train) for share in shares) == len(whole.train)


def test_the_cache_distinguishes_embedded_images_by_content(tmp_path, label_folder):
    files = images_of(label_folder)

    def cached(shift: int) -> Digits:
        rows = [
            f"a.zip!{number},{file.parent.name},{pixels_of(files[number + shift])}"
            for number, file in enumerate(files[:40])
        ]
        path = write(tmp_path / "labels.csv", rows, header="path,label,pixels")
        reading = ReadOptions(cache_dir=str(tmp_path / "cache"), complete=False)
        return LabelsSource(str(path), reading).read(validation_fraction=0)

    assert cached(0).digest == cached(0).digest != cached(40).digest


def test_invalid_base64_is_refused_with_its_line(tmp_path):
    path = write(tmp_path / "labels.csv", ["a,1,AAA"], header="path,label,pixels")
    assert "the pixels are not an image file in base64: 'AAA'. Correct line 2" in refusal_of(path)


def test_pixels_that_are_no_image_are_one_reject(tmp_path, label_folder, capsys):
    files = images_of(label_folder)
    rows = [f"{file},{file.parent.name}," for file in files] + ["a.zip!x,1,AAAA"]
    digits = read(write(tmp_path / "labels.csv", rows, header="path,label,pixels"))
    assert sum(len(split) for split in digits.splits().values()) == 400
    assert "'a.zip!x': UNSUPPORTED" in capsys.readouterr().out


def test_a_few_labels_are_enough_beside_another_source(tmp_path, label_folder):
    files = images_of(label_folder)[:3]
    path = write(tmp_path / "labels.csv", [f"{file},{file.parent.name}" for file in files])
    alone, beside = f"labels:{path}", ["sample", f"labels:{path}@5"]
    assert "Add more images" in refusal_of(path)
    mixed = open_sources(beside).read(validation_fraction=0)
    # Its three are among the sample's: what one of the two holds out, the other does not train on.
    assert 5_000 <= sum(len(split) for split in mixed.splits().values()) <= 5_003
    measured = open_sources(alone, reading=ReadOptions(complete=False)).read(validation_fraction=0)
    assert sum(len(split) for split in measured.splits().values()) == 3


def test_a_mixture_of_too_few_labels_is_refused(tmp_path, label_folder):
    files = images_of(label_folder)
    paths = [write(tmp_path / f"{number}.csv", [f"{files[40 * number]},{number}"]) for number in range(2)]
    with pytest.raises(UserError, match="Add more images: none is left"):
        open_sources([f"labels:{path}" for path in paths]).read(validation_fraction=0)
