import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from digitmill.imaging import page_reading
from digitmill.imaging.guard import GUARD
from digitmill.storage.listed_image import ListedImage
from pipelines.scoring.page_members import OwnedContent, PagedContents
from schemas.errors import WorkerError
from schemas.failure import FailureCode, ImageError
from schemas.prediction import NO_LABEL, Pages


def of_pages(pages: list[np.ndarray], kind: str) -> bytes:
    file = io.BytesIO()
    first, *others = map(Image.fromarray, pages)
    # Equal frames of an animation would become one.
    more = {"save_all": True, "append_images": others} if others else {}
    first.save(file, kind, **more)
    return file.getvalue()


@pytest.fixture
def scan(digits: np.ndarray) -> bytes:
    return of_pages([digits[0], digits[1], np.zeros((28, 28), np.uint8), digits[3]], "TIFF")


def rows(contents: list[OwnedContent], pages: Pages = Pages.ALL) -> list[tuple[str, int, str]]:
    return [(image.uri, image.label, _outcome(content)) for image, content in PagedContents(contents, pages)]


def _outcome(content: page_reading.Content) -> str:
    if isinstance(content, page_reading.Page):
        content = content.outcome if isinstance(content.outcome, ImageError) else b""
    return str(content.code) if isinstance(content, ImageError) else "a digit"


def test_each_page_is_an_image_and_fails_alone(scan: bytes) -> None:
    assert rows([(ListedImage("gs://b/scan.tif", 1, 9, 7), scan)]) == [
        ("gs://b/scan.tif!1", 7, "a digit"),
        ("gs://b/scan.tif!2", 7, "a digit"),
        ("gs://b/scan.tif!3", 7, "BLANK"),
        ("gs://b/scan.tif!4", 7, "a digit"),
    ]


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "PNG"])
def test_frames_of_every_kind_are_images(kind: str, digits: np.ndarray) -> None:
    file = of_pages([digits[0], digits[1], digits[2]], kind)
    assert [uri for uri, _, _ in rows([(ListedImage("x", 1, 9), file)])] == ["x!1", "x!2", "x!3"]


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "PNG", "JPEG", "BMP"])
def test_a_file_of_one_page_keeps_its_name(kind: str, digits: np.ndarray) -> None:
    assert rows([(ListedImage("x", 1, 9), of_pages([digits[0]], kind))]) == [("x", NO_LABEL, "a digit")]


def test_pages_have_labels_of_their_own(scan: bytes) -> None:
    image = ListedImage("x", 1, 9, 4, page_labels="4-8")
    assert [label for _, label, _ in rows([(image, scan)])] == [4, NO_LABEL, 8, NO_LABEL]


def test_the_first_page_alone_has_the_name_of_the_file(scan: bytes) -> None:
    assert rows([(ListedImage("x", 1, 9, 3), scan)], Pages.FIRST) == [("x", 3, "a digit")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"II*\0damaged", "CORRUPT"),
        (b"", "EMPTY"),
        (b"text", "UNSUPPORTED"),
        (ImageError(FailureCode.MISSING, "gone"), "MISSING"),
    ],
)
def test_a_file_without_pages_is_one_failure(content: bytes | ImageError, code: str) -> None:
    assert rows([(ListedImage("x", 1, 9), content)]) == [("x", NO_LABEL, code)]


def test_pages_beyond_the_limit_are_one_failure(scan: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the process gives, which has the real limit.
    monkeypatch.setattr(GUARD, "digits", lambda _: (4, [np.zeros((28, 28), np.uint8)] * 2))
    contents = PagedContents([(ListedImage("x", 1, 9), scan)])
    found = list(contents)
    assert [image.uri for image, _ in found] == ["x!1", "x!2", "x"]
    assert str(found[-1][1]) == "TOO_LARGE: 4 pages; the first 2 were read"
    assert contents.further == 2


def test_the_file_goes_to_the_decoder_once(scan: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sent = GUARD._read, []

    def counted(reading: object) -> object:
        sent.append(reading)
        return real(reading)

    monkeypatch.setattr(GUARD, "_read", counted)
    assert len(rows([(ListedImage("x", 1, 9), scan)])) == 4
    assert len(sent) == 1


def test_a_failure_of_the_machine_names_the_image(scan: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> None:
        raise WorkerError("the decoder process was killed 10 times", value="SIGKILL", hint="give memory")

    monkeypatch.setattr(GUARD, "digits", fail)
    with pytest.raises(WorkerError, match=r"killed 10 times, on gs://b/scan\.tif: 'SIGKILL'"):
        rows([(ListedImage("gs://b/scan.tif", 1, 9), scan)])


def test_a_picture_that_mentions_an_animation_is_none(png_of: Callable, digits: np.ndarray) -> None:
    plain = png_of(digits[0])
    assert not page_reading.may_have_pages(plain)
    assert not page_reading.may_have_pages(plain[:-12] + b"acTL" + plain[-12:])
