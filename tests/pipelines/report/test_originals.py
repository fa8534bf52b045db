import base64
import dataclasses
import pathlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from digitmill.imaging.decode import decode
from digitmill.reports.gallery import Link, inline_png
from digitmill.storage.local_output import LocalFolder
from pipelines.report.originals import ImageLinks, find_originals, read_originals
from pipelines.report.scoring_report import Baselines, RunReport
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.kept_images import KeptImage
from schemas.manifest import Manifest


def scanned(digit: np.ndarray) -> np.ndarray:
    """The digit small in a corner of a sheet: it looks otherwise than the digit itself."""
    sheet = np.full((200, 300), 230, np.uint8)
    sheet[10:38, 10:38] = 255 - digit
    return sheet


def of(statistics: RunStatistics, digit: np.ndarray, *uris: str) -> RunStatistics:
    kept = tuple(KeptImage(0.4, uri, 1, 7, -1, inline_png(digit)) for uri in uris)
    return dataclasses.replace(statistics, doubtful=kept, mistaken=())


def test_files_that_look_otherwise_are_shown(
    statistics: RunStatistics, digits: np.ndarray, png_of: Callable, tmp_path: pathlib.Path
) -> None:
    sheet, same, text, gone = (tmp_path / f"{name}.png" for name in ("sheet", "same", "text", "gone"))
    sheet.write_bytes(png_of(scanned(digits[0])))
    same.write_bytes(png_of(digits[0]))
    text.write_bytes(b"no picture")
    uris = [*(path.as_uri() for path in (sheet, same, text, gone)), "gs://b/a.png", "file:///a.zip!b.png"]
    found = find_originals(of(statistics, digits[0], *uris))
    assert list(found) == [sheet.as_uri()]
    assert decode(base64.b64decode(found[sheet.as_uri()])).shape[:2] == (75, 112)


def test_large_files_are_left_out(
    statistics: RunStatistics, digits: np.ndarray, tmp_path: pathlib.Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2200, 2200), np.uint8)
    large = tmp_path / "large.png"
    large.write_bytes(cv2.imencode(".png", noise)[1].tobytes())
    assert find_originals(of(statistics, digits[0], large.as_uri())) == {}


def test_they_stay_with_the_run_when_the_images_go(
    statistics: RunStatistics,
    manifest: Manifest,
    digits: np.ndarray,
    png_of: Callable,
    tmp_path: pathlib.Path,
) -> None:
    sheet, output = tmp_path / "sheet.png", LocalFolder(tmp_path / "out")
    sheet.write_bytes(png_of(scanned(digits[0])))
    seen = of(statistics, digits[0], sheet.as_uri())
    output.claim()
    RunReport.of(seen, Baselines(), originals=find_originals(seen)).write(output, manifest)
    sheet.unlink()
    again = {
        file.name: file.data
        for file in RunReport.of(seen, Baselines(), originals=read_originals(output)).files(manifest)
    }
    assert output.read("report.html") == again["report.html"]
    assert b"data:image/webp;base64," in again["report.html"]
    output.replace("reports/originals.json", b"damaged")
    assert read_originals(output) == {}


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("file:///data/in/a%20b.png", Link(href="../in/a%20b.png")),
        ("file:///data/out/12:30.png", Link(href="12%3A30.png")),
        ("file:///data/in/%FF.png", Link(href="../in/%FF.png")),
        ("gs://bucket/a b.png", Link(address="gs://bucket/a b.png")),
        ("file:///data/in/all.zip!a.png", Link(address="/data/in/all.zip!a.png")),
    ],
)
def test_files_are_opened_and_others_copied(uri: str, link: Link) -> None:
    assert ImageLinks("/data/out").to(uri) == link


@pytest.mark.parametrize("folder", ["", "gs://bucket/out"])
def test_from_elsewhere_a_link_is_absolute(folder: str) -> None:
    assert ImageLinks(folder).to("file:///data/a.png") == Link(href="file:///data/a.png")


def test_a_page_elsewhere_links_from_there(tmp_path: pathlib.Path) -> None:
    uri = (tmp_path / "in" / "a.png").as_uri()
    assert ImageLinks.of_page_in(str(tmp_path / "pages")).to(uri).href == "../in/a.png"
