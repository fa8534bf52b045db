import os
import pathlib

import pytest

from digitmill.storage.listed_image import ListedImage
from pipelines.listing.input_listing import list_images
from pipelines.listing.true_labels import attach_labels
from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError
from schemas.prediction import NO_LABEL


@pytest.fixture
def images(tmp_path: pathlib.Path) -> list[ListedImage]:
    for name in ("3/a.png", "7/b.png", "other/c.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    return list(list_images([str(tmp_path)]))


def labels_of(images: list[ListedImage], labels: object) -> list[int]:
    return [image.label for image in attach_labels(images, str(labels))]


def test_folder_names_are_labels(images: list[ListedImage]) -> None:
    assert labels_of(images, "folder") == [3, 7, NO_LABEL]


def test_a_csv_names_images_by_uri_by_path_and_relative_to_itself(
    images: list[ListedImage], tmp_path: pathlib.Path
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text(
        f"\ufefflabel,note,path\n1,x,{images[0].uri}\n2,,{tmp_path}/7/b.png\n 4 ,,other/c.png\n9,,gone.png\n"
    )
    assert labels_of(images, truth) == [1, 2, 4]


def test_lines_without_a_digit_are_left_out_and_counted(
    images: list[ListedImage], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("path,label\n3/a.png,4\n7/b.png,unreadable\nother/c.png,\n")
    assert labels_of(images, truth) == [4, NO_LABEL, NO_LABEL]
    assert "ignored 2 lines without a digit" in capsys.readouterr().err


def test_labels_that_name_no_image_are_counted(
    images: list[ListedImage], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("path,label\n3/a.png,4\nnosuch.png,1\nscan.tif!2,1\n7/b.png!2,5\n")
    assert labels_of(images, truth)[0] == 4
    assert f"{truth}: 2 of 4 labels name no image of the input\n" == capsys.readouterr().err


def test_a_label_applies_to_its_generation_only(
    images: list[ListedImage], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    truth = tmp_path / "truth.csv"
    first, second, third = images
    truth.write_text(
        f"path,label,generation\n{first.uri},1,{first.generation}\n"
        f"{second.uri},2,{second.generation + 1}\n{third.uri},3,\n"
    )
    assert labels_of(images, truth) == [1, NO_LABEL, 3]
    assert "ignored 1 label of other versions" in capsys.readouterr().err


def test_a_csv_may_name_files_that_are_not_utf_8(tmp_path: pathlib.Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff,\n.png", "wb"):
        pass
    images = list(list_images([str(tmp_path)]))
    (tmp_path / "truth.csv").write_bytes(b'path,label\n"\xff,\n.png",5\n')
    assert labels_of(images, tmp_path / "truth.csv") == [5]


def test_a_csv_may_name_pages(tmp_path: pathlib.Path) -> None:
    (tmp_path / "scan.tif").touch()
    (tmp_path / "whole.tif").touch()
    uri = (tmp_path / "scan.tif").as_uri()
    truth = tmp_path / "truth.csv"
    truth.write_text(f"path,label\nscan.tif!2,7\n{tmp_path}/scan.tif!1,3\n{uri}!4,9\nwhole.tif,5\n")
    listed = [ListedImage((tmp_path / name).as_uri(), 0, 0) for name in ("scan.tif", "whole.tif")]
    scan, whole = attach_labels(listed, str(truth))
    assert (scan.page_labels, scan.label) == ("37-9", 3)
    assert (whole.page_labels, whole.label) == ("", 5)


def test_labels_of_pages_are_of_a_generation_too(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("path,label,generation\nscan.tif!1,3,1\nscan.tif!2,7,2\n")
    (scan,) = attach_labels([ListedImage((tmp_path / "scan.tif").as_uri(), 2, 0)], str(truth))
    assert (scan.page_labels, scan.label) == ("-7", NO_LABEL)
    assert "ignored 1 label of other versions" in capsys.readouterr().err


def test_a_file_and_its_pages_may_not_both_have_labels(tmp_path: pathlib.Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("path,label\nscan.tif,1\nscan.tif!2,7\n")
    with pytest.raises(UserError, match="both a file and its pages have labels"):
        list(attach_labels([ListedImage((tmp_path / "scan.tif").as_uri(), 2, 0)], str(truth)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "columns path and label"),
        ("image,label\na,1\n", "columns path and label"),
        ("path,label\n3/a.png,x\n", "the label is not a digit from 0 to 9: 'x'. Correct line 2"),
        ("path,label\n3/a.png,1\n3/a.png,10\n", "'10'. Correct line 3"),
        ("path,label\n3/a.png\n", "no image of the input has a label"),
        ("path,label,generation\n3/a.png,1,x\n", "the generation is not a whole number"),
        ("path,label,generation\n3/a.png,1,1\n3/a.png,1,2\n", "the image has two labels"),
        ("path,label\n3/a.png,1\n./3/a.png,2\n", "the image has two labels"),
        ("path,label\nelsewhere/a.png,1\n", "no image of the input has a label"),
    ],
)
def test_an_unusable_csv_is_refused(
    images: list[ListedImage], tmp_path: pathlib.Path, text: str, complaint: str
) -> None:
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(UserError, match=complaint):
        list(attach_labels(images, str(tmp_path / "truth.csv")))


def test_a_csv_cannot_label_members_of_archives(images: list[ListedImage], tmp_path: pathlib.Path) -> None:
    (tmp_path / "truth.csv").write_text("path,label\n3/a.png,1\n")
    archive = images[0]._replace(uri="file:///a.zip")
    with pytest.raises(UserError, match="cannot label the members of an archive"):
        list(attach_labels([*images, archive], str(tmp_path / "truth.csv")))


def test_a_missing_csv_is_refused(images: list[ListedImage], tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="cannot read the labels file"):
        list(attach_labels(images, str(tmp_path / "none.csv")))


def test_folders_without_digits_are_refused(images: list[ListedImage]) -> None:
    with pytest.raises(UserError, match="no image of the input has a label"):
        list(attach_labels(images[2:], "folder"))


def test_unreadable_images_have_a_number_where_they_count(
    images: list[ListedImage], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "d.png").touch()
    listed = list(list_images([str(tmp_path)]))
    found = {
        image.uri.rpartition("/")[2]: image.label
        for image in attach_labels(listed, "folder", unreadable=True)
    }
    assert found == {"a.png": 3, "b.png": 7, "c.png": NO_LABEL, "d.png": NOT_A_DIGIT}
    assert labels_of(listed, "folder") == [3, 7, NO_LABEL, NO_LABEL]
    truth = tmp_path / "truth.csv"
    truth.write_text("path,label\n3/a.png,4\n7/b.png,unreadable\nother/c.png,\n")
    known = [image.label for image in attach_labels(images, str(truth), unreadable=True)]
    assert known == [4, NOT_A_DIGIT, NO_LABEL]
