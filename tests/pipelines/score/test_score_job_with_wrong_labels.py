"""Labels that are wrong are found by the report, and by the review page."""

import gzip
import json
import pathlib
import re
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import open_bundle
from digitmill.storage.listed_image import ListedImage
from pipelines.report.originals import ImageLinks
from pipelines.report.scoring_galleries import review_galleries
from pipelines.review.review_job import ReviewOptions
from pipelines.review.review_job import run as review
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from pipelines.scoring.classify import Classifier
from pipelines.scoring.scored_batch import summarize
from pipelines.statistics.item_statistics import RunStatistics, merge_statistics


def summarized(images: np.ndarray, labels: np.ndarray, png_of: Callable) -> RunStatistics:
    """The statistics of images that the shipped model has scored, named by their numbers."""
    listed = [ListedImage(f"file:///in/{at}.png", 1, 1, int(label)) for at, label in enumerate(labels)]
    classifier = Classifier(open_bundle(str(SHIPPED_MODEL)).load(), accept_threshold=0.9)
    scored = classifier.classify(zip(listed, map(png_of, images), strict=True))
    return merge_statistics([summarize("d", scored, ())])


def numbers_in_gallery(statistics: RunStatistics) -> list[int]:
    (gallery,) = (
        found for found in review_galleries(statistics, ImageLinks()) if found.title == "Likely label errors"
    )
    return [int(picture.file.removesuffix(".png")) for picture in gallery.pictures]


def test_changed_labels_are_the_likeliest_errors(
    digits: np.ndarray, labels: np.ndarray, png_of: Callable
) -> None:
    changed = np.arange(0, 500, 50)
    wrong = labels.copy()
    wrong[changed] = (wrong[changed] + 3) % 10
    statistics = summarized(digits, wrong, png_of)
    assert {*numbers_in_gallery(statistics)[: len(changed)]} == {*changed.tolist()}


def test_right_labels_are_not_in_doubt(digits: np.ndarray, labels: np.ndarray, png_of: Callable) -> None:
    right = summarized(digits[:100], labels[:100], png_of)
    assert right.right == 100
    assert "Likely label errors" not in {found.title for found in review_galleries(right, ImageLinks())}


@pytest.mark.shared
def test_of_mnist_known_label_errors_are_among_the_first_30(
    shared_data: pathlib.Path, png_of: Callable
) -> None:
    images, labels = (
        np.frombuffer(gzip.decompress((shared_data / "mnist" / name).read_bytes()), np.uint8, offset=offset)
        for name, offset in (("t10k-images-idx3-ubyte.gz", 16), ("t10k-labels-idx1-ubyte.gz", 8))
    )
    found = numbers_in_gallery(summarized(images.reshape(-1, 28, 28), labels, png_of))
    assert len(found) == 30
    assert len(_KNOWN_ERRORS & {*found}) >= 5
    assert _KNOWN_ERRORS & {*found[:5]}


_KNOWN_ERRORS = {947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729}
"""Test images whose label most people did not confirm: mturk/mnist_mturk.json of cleanlab/label-errors."""


@pytest.fixture
def mislabeled(
    tmp_path: pathlib.Path, digits: np.ndarray, labels: np.ndarray, png_of: Callable
) -> tuple[pathlib.Path, set[str]]:
    """A run with labels, of which three are wrong; and the names of these images."""
    lines, wrong = ["path,label"], {3, 7, 20}
    for at in range(60):
        (tmp_path / f"{at}.png").write_bytes(png_of(digits[at]))
        lines.append(f"{tmp_path}/{at}.png,{(labels[at] + (at in wrong)) % 10}")
    (tmp_path / "truth.csv").write_text("\n".join(lines))
    run(
        ScoreOptions(
            inputs=(f"{tmp_path}/*.png",),
            model=str(SHIPPED_MODEL),
            labels=str(tmp_path / "truth.csv"),
            accept_threshold=0.9,
            output=str(tmp_path / "out"),
            beam_flags=("--runner=FnApiRunner",),
        )
    )
    return tmp_path / "out", {(tmp_path / f"{at}.png").as_uri() for at in wrong}


def test_the_review_page_has_accepted_images_with_doubtful_labels(
    mislabeled: tuple[pathlib.Path, set[str]],
) -> None:
    output, wrong = mislabeled
    summary = review(ReviewOptions(str(output), limit=1))
    page = pathlib.Path(summary.page).read_text()
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    rows = json.loads(data)["rows"]
    suspects = [row for row in rows if row["suspect"]]
    assert {row["path"] for row in suspects} == wrong
    assert all(row["known"] != row["predicted"] for row in suspects)
    assert summary.suspects == 3
    assert "whose labels may be wrong" in page
    # Beyond all rows for review, so that labels kept in a browser stay valid with another limit.
    assert [row["place"] for row in suspects] == [summary.doubtful + at for at in range(3)]
