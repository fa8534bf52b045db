import gzip
import pathlib
import zipfile

import cv2
import numpy as np
import pytest

from benchmarks import digit_sets


def png() -> bytes:
    return cv2.imencode(".png", np.full((8, 8), 200, np.uint8))[1].tobytes()


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    with zipfile.ZipFile(tmp_path / "bhmsds.zip", "w") as archive:
        for name in ("1/1-0000.png", "1/1-1100.png", "1/1-1499.png", "plus/plus-0007.png", "z/z-0001.png"):
            archive.writestr(name, png())
        archive.writestr("LICENSE", "MIT")
    with zipfile.ZipFile(tmp_path / "printed.zip", "w") as archive:
        archive.writestr("0/00.jpeg", png())
        archive.writestr("7/71.jpeg", png())
    bits = ["1" + "0" * 255 + "0000000100", "0" * 255 + "1" + "1000000000"]
    (tmp_path / "semeion.data.gz").write_bytes(gzip.compress("\n".join(bits).encode()))
    return tmp_path


def placed(pictures: object) -> list[tuple[str, str]]:
    return [(picture.part, picture.label) for picture in pictures]


def test_photographs_are_divided_by_number_and_look_alikes_left_out(source: pathlib.Path) -> None:
    assert placed(digit_sets.bhmsds(source)) == [
        ("train", "1"),
        ("validation", "1"),
        ("test", "1"),
        ("train", "unreadable"),
    ]


def test_empty_cells_among_printed_digits_are_unreadable(source: pathlib.Path) -> None:
    assert placed(digit_sets.printed(source)) == [("validation", "unreadable"), ("validation", "7")]


def test_bitmaps_are_dark_ink_on_white_paper(source: pathlib.Path) -> None:
    pictures = list(digit_sets.semeion(source))
    assert placed(pictures) == [("train", "7"), ("train", "0")]
    first, second = (
        cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_GRAYSCALE) for picture in pictures
    )
    assert first.shape == (16, 16)
    assert (first[0, 0], second[15, 15]) == (0, 0)
    assert (first < 255).sum() == (second < 255).sum() == 1


def test_the_second_half_of_the_bitmaps_is_for_the_test(source: pathlib.Path) -> None:
    line = "0" * 256 + "1000000000"
    (source / "semeion.data.gz").write_bytes(gzip.compress("\n".join([line] * 1513).encode()))
    parts = [part for part, _ in placed(digit_sets.semeion(source))]
    assert [parts.count(part) for part in ("train", "validation", "test")] == [677, 80, 756]


def test_small_digits_are_light_ink_on_black() -> None:
    picture = next(iter(digit_sets.optdigits()))
    pixels = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert (picture.part, picture.label, pixels.shape, pixels.max()) == ("validation", "0", (8, 8), 239)


def test_each_set_has_a_folder_of_parts_and_labels(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    digit_sets.write(tmp_path / "sets", source)
    folders = {str(path.relative_to(tmp_path / "sets")) for path in (tmp_path / "sets").glob("*/*")}
    assert folders == {
        "bhmsds/train",
        "bhmsds/validation",
        "bhmsds/test",
        "semeion/train",
        "printed/validation",
        "optdigits/validation",
    }
    assert (tmp_path / "sets" / "bhmsds" / "train" / "unreadable" / "plus-0007.png").read_bytes() == png()
    assert (tmp_path / "sets" / "bhmsds" / "train" / "CREDIT.txt").read_text().splitlines()[1] == "MIT"
    assert not (tmp_path / "sets" / "printed" / "validation" / "CREDIT.txt").exists()
