import base64
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from digitmill.imaging.decode import decode
from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from pipelines.archives import member_uri
from pipelines.listing.input_listing import list_images
from pipelines.review.review_images import Picture, make_sprite, read_pictures
from pipelines.review.review_rows import ReviewRow
from pipelines.scoring import scorer
from schemas.failure import ImageError
from tests.pipelines.archive_writer import tar_of, zip_of


def make_row(file: ListedImage, uri: str = "") -> ReviewRow:
    return ReviewRow(0.5, uri or file.uri, file.generation, 1, 7, 0.3, -1, file)


def pictures_of(rows: list[ReviewRow]) -> list[Picture | ImageError]:
    with ImageReader() as reader:
        found = dict(read_pictures(rows, reader))
    assert sorted(found) == list(range(len(rows)))
    return [found[place] for place in range(len(rows))]


@pytest.fixture
def images(tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable) -> list[ListedImage]:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.png").write_bytes(png_of(digits[number]))
    return list(list_images([str(folder)]))


def path_of(image: ListedImage) -> pathlib.Path:
    return pathlib.Path(image.uri.removeprefix("file://"))


def test_each_picture_is_the_digit_that_the_model_saw(images: list[ListedImage], digits: np.ndarray) -> None:
    rows = [make_row(image) for image in reversed(images)]
    for row, picture, digit in zip(rows, pictures_of(rows), digits[7::-1], strict=True):
        assert isinstance(picture, Picture)
        assert (picture.digit == digit).all()
        assert picture.sha256 == hashlib.sha256(path_of(row.file).read_bytes()).hexdigest()
        assert picture.original == b""


def test_missing_changed_and_damaged_images_fail_alone(images: list[ListedImage]) -> None:
    path_of(images[1]).unlink()
    path_of(images[2]).write_bytes(b"another")
    os.utime(path_of(images[3]), ns=(1, 1))
    codes = [
        picture.code if isinstance(picture, ImageError) else "shown"
        for picture in pictures_of([make_row(image) for image in images])
    ]
    assert codes == ["shown", "MISSING", "CHANGED", "CHANGED", *["shown"] * 4]


@pytest.mark.parametrize(("suffix", "archive_of"), [("zip", zip_of), ("tar", tar_of)])
def test_members_of_archives_among_other_images(
    tmp_path: pathlib.Path,
    images: list[ListedImage],
    digits: np.ndarray,
    png_of: Callable,
    suffix: str,
    archive_of: Callable,
) -> None:
    path = tmp_path / f"some.{suffix}"
    path.write_bytes(archive_of([(b"%d.png" % number, png_of(digits[number])) for number in range(20)]))
    (archive,) = list_images([str(path)])
    members = [
        make_row(archive, member_uri(archive.uri, name)) for name in (b"11.png", b"3.png", b"none.png")
    ]
    first, eleventh, third, none, last = pictures_of([make_row(images[0]), *members, make_row(images[7])])
    assert (first.digit == digits[0]).all()
    assert (eleventh.digit == digits[11]).all()
    assert (third.digit == digits[3]).all()
    assert (last.digit == digits[7]).all()
    assert isinstance(none, ImageError)
    assert str(none) == "MISSING: the archive no longer holds it"
    assert third.sha256 == hashlib.sha256(png_of(digits[3])).hexdigest()


def test_an_archive_that_changed_fails_all_of_its_members(
    tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable
) -> None:
    path = tmp_path / "some.tar"
    path.write_bytes(tar_of([(b"a.png", png_of(digits[0]))]))
    (archive,) = list_images([str(path)])
    path.write_bytes(tar_of([(b"a.png", png_of(digits[1])), (b"b.png", png_of(digits[1]))]))
    found = pictures_of([make_row(archive, member_uri(archive.uri, name)) for name in (b"a.png", b"b.png")])
    assert [error.code for error in found] == ["CHANGED", "CHANGED"]


def test_an_archive_is_read_only_up_to_the_last_requested_member(
    tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.tar"
    path.write_bytes(tar_of([(b"%d.png" % number, png_of(digits[number])) for number in range(20)]))
    (archive,) = list_images([str(path)])
    real, read = scorer.read_members, []

    def counted(*arguments: object, **named: object) -> Iterator:
        for member in real(*arguments, **named):
            read.append(member.name)
            yield member

    monkeypatch.setattr(scorer, "read_members", counted)
    pictures_of([make_row(archive, member_uri(archive.uri, b"4.png"))])
    assert len(read) == 5


def only(folder: pathlib.Path, pixels: np.ndarray, suffix: str = ".png") -> Picture:
    path = folder / f"one{suffix}"
    path.write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    (picture,) = pictures_of([make_row(image) for image in list_images([str(path)])])
    assert isinstance(picture, Picture)
    return picture


@pytest.fixture
def large(digits: np.ndarray) -> np.ndarray:
    """A digit ten times as large, dark on light."""
    return 255 - cv2.resize(digits[0], (280, 280), interpolation=cv2.INTER_CUBIC)


def test_an_original_that_differs_in_size_or_polarity_alone_is_not_shown(
    tmp_path: pathlib.Path, large: np.ndarray
) -> None:
    assert only(tmp_path, large).original == b""
    assert only(tmp_path, 255 - large).original == b""
    assert only(tmp_path, large.astype(np.uint16) * 257).original == b""


@pytest.mark.parametrize("kind", ["gray", "color", "transparent", "deep", "tall"])
def test_an_image_that_differs_from_its_digit_gets_a_thumbnail(
    tmp_path: pathlib.Path, large: np.ndarray, kind: str
) -> None:
    # The digit in a corner of a large sheet.
    sheet = np.full((800, 500), 250, np.uint8)
    sheet[40:320, 60:340] = large
    pixels = {
        "gray": sheet,
        "color": cv2.merge([sheet, sheet, np.full_like(sheet, 250)]),
        "transparent": cv2.merge([0 * sheet, 0 * sheet, 0 * sheet, 255 - sheet]),
        "deep": sheet.astype(np.uint16) * 257,
        "tall": np.vstack([sheet, np.full((3_000, 500), 250, np.uint8)]),
    }[kind]
    shown = decode(only(tmp_path, pixels).original)
    assert max(shown.shape[:2]) == 112
    assert shown.shape[0] / shown.shape[1] == pytest.approx(pixels.shape[0] / pixels.shape[1], rel=0.05)
    assert len(only(tmp_path, pixels).original) < 6_000
    # Light paper, whatever the file held.
    assert shown[-10:, -10:].mean() > 200


def test_a_small_image_is_not_enlarged(tmp_path: pathlib.Path, digits: np.ndarray) -> None:
    sheet = np.full((40, 60), 250, np.uint8)
    sheet[6:34, 2:30] = 250 - digits[0]
    assert decode(only(tmp_path, sheet).original).shape[:2] == (40, 60)


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_a_sprite_is_filled_row_by_row(digits: np.ndarray, count: int) -> None:
    sheet = decode(base64.b64decode(make_sprite(digits[:count], columns=4)))
    assert sheet.shape == (28 * -(-count // 4), 28 * min(count, 4))
    for number in range(count):
        top, left = 28 * (number // 4), 28 * (number % 4)
        assert (sheet[top : top + 28, left : left + 28] == digits[number]).all()
