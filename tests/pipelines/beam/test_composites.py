import pathlib
import shutil
import zipfile
from collections.abc import Callable

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from PIL import Image

from digitmill.engines.bundle_loader import Bundle
from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from pipelines import ClassifyImages, ReadDigits
from pipelines.beam.composites import read_contents
from pipelines.listing.input_listing import list_images
from schemas.errors import UserError
from schemas.failure import Failure
from schemas.prediction import Decision, Prediction
from tests.gcs_emulator import Bucket


def run(names: list, transform: beam.PTransform, check: Callable, tag: str) -> None:
    """Run a composite and let a function look at all that has one of its tags."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        outputs = pipeline | beam.Create(names) | transform
        assert_that(outputs[tag], check)


def test_names_become_predictions_and_failures(mixed_folder: pathlib.Path, bundle: Bundle) -> None:
    names = [str(path) for path in mixed_folder.rglob("*") if path.is_file()]
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        outputs = pipeline | beam.Create(names) | ClassifyImages(bundle.place)
        uris = outputs.predictions | "Predicted" >> beam.Map(lambda prediction: prediction.image)
        codes = outputs.failures | "Failed" >> beam.Map(lambda failure: str(failure.code))
        good = [pathlib.Path(name).as_uri() for name in names if pathlib.Path(name).parent != mixed_folder]
        assert_that(uris, equal_to(good), label="predicted")
        assert_that(
            codes, equal_to(["EMPTY", "UNSUPPORTED", "UNSUPPORTED", "CORRUPT", "BLANK"]), label="failed"
        )


def test_predictions_are_prediction_records(digit_folder: pathlib.Path, bundle: Bundle) -> None:
    def check(rows: list) -> None:
        assert len(rows) == 500
        assert {type(row) for row in rows} == {Prediction}
        assert all((row.decision == Decision.ACCEPT) == (row.confidence >= 0.5) for row in rows)
        assert all(row.challenger_digit == row.digit and row.label is None for row in rows)
        assert all(row.generation > 0 for row in rows)

    names = [image.uri for image in list_images([str(digit_folder)])]
    transform = ClassifyImages(bundle.place, accept_threshold=0.5, challenger=bundle.place)
    run(names, transform, check, "predictions")


@pytest.mark.slow
def test_listed_images_keep_their_generation_and_label(digit_folder: pathlib.Path, bundle: Bundle) -> None:
    def check(rows: list) -> None:
        assert len(rows) == 29
        assert {row.label for row in rows} == {7}
        assert {row.challenger_digit for row in rows} == {None}

    def changed(failures: list) -> None:
        assert [(type(failure), failure.code, failure.generation) for failure in failures] == [
            (Failure, "CHANGED", 1)
        ]

    images = [image._replace(label=7) for image in list_images([str(digit_folder)])][:30]
    images[3] = images[3]._replace(generation=1)
    run(images, ClassifyImages(bundle.place), check, "predictions")
    run(images, ClassifyImages(bundle.place), changed, "failures")


@pytest.mark.slow
def test_an_archives_name_stands_for_its_images(
    tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable, bundle: Bundle
) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(40):
            archive.writestr(f"{number}.png", png_of(digits[number]))
        archive.writestr("bad.png", b"x")
    expected = [f"{(tmp_path / 'many.zip').as_uri()}!{number}.png" for number in range(40)]
    run(
        [str(tmp_path / "many.zip")],
        ClassifyImages(bundle.place),
        lambda rows: np.testing.assert_array_equal(sorted(row.image for row in rows), sorted(expected)),
        "predictions",
    )


def test_objects_of_a_bucket_are_named_by_their_uris(
    bucket: Bucket, digits: np.ndarray, png_of: Callable, bundle: Bundle
) -> None:
    for number in range(20):
        bucket.put(f"{number}.png", png_of(digits[number]))
    names = [f"{bucket.uri}/{number}.png" for number in range(21)]

    def missing(failures: list) -> None:
        assert [(failure.image, failure.code) for failure in failures] == [(names[20], "MISSING")]

    run(names, ClassifyImages(bundle.place), missing, "failures")
    run(
        names,
        ClassifyImages(bundle.place),
        lambda rows: np.testing.assert_equal(len([row for row in rows if row.generation]), 20),
        "predictions",
    )


def test_digits_come_with_their_uris(mixed_folder: pathlib.Path, digits: np.ndarray, bundle: Bundle) -> None:
    known = {digit.tobytes() for digit in digits}

    def check(pairs: list) -> None:
        assert len(pairs) == 60
        for uri, digit in pairs:
            assert uri.startswith("file:///")
            assert digit.shape == (28, 28)
            assert digit.tobytes() in known

    names = [str(path) for path in mixed_folder.rglob("*") if path.is_file()]
    run(names, ReadDigits(), check, "digits")
    run(names, ReadDigits(), lambda failures: np.testing.assert_equal(len(failures), 5), "failures")


@pytest.mark.parametrize("name", ["http://example.com/a.png", "gs://bucket", "s3:///x", "://"])
def test_an_invalid_name_is_one_failure(name: str, digit_folder: pathlib.Path) -> None:
    (good, *_) = digit_folder.rglob("*.png")
    with ImageReader() as reader:
        (bad, error), (image, content) = read_contents([name, str(good)], reader)
    assert (bad.uri, error.code) == (name, "UNREADABLE")
    assert "neither a path nor a URI of file:///, gs://" in error.detail
    assert (image.uri, content) == (good.as_uri(), good.read_bytes())


def test_each_name_has_one_outcome(digit_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (good, other, *_) = digit_folder.rglob("*.png")
    listed = next(iter(list_images([str(other)])))
    names = [str(tmp_path / "none"), str(good), listed, good.as_uri(), str(tmp_path / "none.zip")]
    with ImageReader() as reader:
        outcomes = list(read_contents(names, reader))
    assert sorted(image.uri for image, _ in outcomes) == sorted(
        [good.as_uri()] * 2 + [listed.uri] + [(tmp_path / name).as_uri() for name in ("none", "none.zip")]
    )
    assert sum(isinstance(content, bytes) for _, content in outcomes) == 3


def test_the_models_travel_with_the_pipeline(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    copies = [shutil.copytree(bundle_path, tmp_path / name) for name in ("model", "challenger")]
    transform = ClassifyImages(copies[0], challenger=copies[1])
    for copy in copies:
        shutil.rmtree(copy)

    def check(rows: list) -> None:
        assert len(rows) == 10
        assert all(row.challenger_digit == row.digit for row in rows)

    run([str(path) for path in sorted(digit_folder.rglob("*.png"))[:10]], transform, check, "predictions")


def test_an_unusable_bundle_is_refused_at_construction(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="not a model bundle"):
        ClassifyImages(tmp_path)


def test_a_listed_image_is_a_tuple_of_its_own_type() -> None:
    # Told from a name by its type, so Beam must hand it on as it is.
    run(
        [ListedImage("file:///none", 1, 1)],
        ReadDigits(),
        lambda failures: np.testing.assert_equal([str(failure.code) for failure in failures], ["MISSING"]),
        "failures",
    )


@pytest.mark.parametrize(("pages", "named"), [("all", ["!1", "!2", "!3"]), ("first", [""])])
def test_the_name_of_a_file_stands_for_its_pages(
    pages: str, named: list[str], tmp_path: pathlib.Path, digits: np.ndarray, bundle: Bundle
) -> None:
    first, *others = (Image.fromarray(digit) for digit in digits[:3])
    scan = tmp_path / "scan.tif"
    first.save(scan, save_all=True, append_images=others)

    def check_digits(found: list) -> None:
        assert sorted(uri for uri, _ in found) == [scan.as_uri() + page for page in named]

    def check_rows(found: list) -> None:
        assert sorted(row.image for row in found) == [scan.as_uri() + page for page in named]

    run([str(scan)], ReadDigits(pages=pages), check_digits, "digits")
    run([str(scan)], ClassifyImages(bundle.place, pages=pages), check_rows, "predictions")
