import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import EngineError, LiteRtEngine
from digitmill.imaging.batch import decode_batch
from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from pipelines.listing.work_item import WorkItem
from pipelines.scoring.classify import Classifier, Content, load_classifier
from pipelines.scoring.scored_batch import ScoredBatch, summarize
from pipelines.statistics.agreement import MAX_DISAGREEMENTS
from pipelines.statistics.kept_images import MAX_DOUBTFUL
from schemas.failure import FailureCode
from schemas.prediction import NO_LABEL
from tests.pipelines.stub_engines import Contrary, FailsOn


def score(item: WorkItem, engine: LiteRtEngine, threshold: float) -> ScoredBatch:
    contents = zip(item.images, ImageReader().read(item.images), strict=True)
    return Classifier(engine, accept_threshold=threshold).classify(contents)


def test_every_image_is_scored_or_failed(
    mixed_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable
) -> None:
    (item,) = items_of(mixed_folder)
    scored = score(item, engine, 0.9)
    outcomes = [image.uri for image in scored.images] + [failure.image for failure in scored.failures]
    assert sorted(outcomes) == sorted(image.uri for image in item.images)
    codes = {failure.image.rpartition("/")[2]: failure.code for failure in scored.failures}
    assert codes == {
        "empty.png": FailureCode.EMPTY,
        "text.png": FailureCode.UNSUPPORTED,
        "%3Cscript%3Ealert%281%29%3C%E2%88%95script%3E.png": FailureCode.UNSUPPORTED,
        "truncated.png": FailureCode.CORRUPT,
        "blank.png": FailureCode.BLANK,
    }


def test_a_bad_image_does_not_change_other_predictions(
    mixed_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable
) -> None:
    (item,) = items_of(mixed_folder)
    scored = score(item, engine, 0.9)
    for failure in scored.failures:
        pathlib.Path(failure.image.removeprefix("file://").replace("%3C", "<")).unlink(missing_ok=True)
    for row, image in enumerate(scored.images):
        (alone,) = items_of(image.uri.removeprefix("file://"))
        single = score(alone, engine, 0.9)
        assert single.first[0] == scored.first[row]
        assert single.confidence[0] == scored.confidence[row]


def test_predictions_are_the_two_most_probable_digits(
    digit_folder: pathlib.Path, digits: np.ndarray, engine: LiteRtEngine, items_of: Callable
) -> None:
    (item,) = items_of(digit_folder)
    scored = score(item, engine, 0.9)
    files = [pathlib.Path(image.uri.removeprefix("file://")).read_bytes() for image in scored.images]
    seen = decode_batch(files, len(files)).digits
    probabilities = engine.probabilities(seen)
    ranked = np.sort(probabilities, axis=1)
    np.testing.assert_array_equal(scored.first, probabilities.argmax(axis=1))
    np.testing.assert_allclose(scored.confidence, ranked[:, -1])
    np.testing.assert_allclose(scored.second_confidence, ranked[:, -2])
    assert (scored.first != scored.second).all()
    assert {digit.tobytes() for digit in seen} == {digit.tobytes() for digit in digits}


@pytest.mark.parametrize(("threshold", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_threshold_decides(
    digit_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable, threshold: float, share: float
) -> None:
    (item,) = items_of(digit_folder)
    accepted = score(item, engine, threshold).accepted.mean()
    assert accepted == pytest.approx(share, abs=0.3)
    assert (accepted == 1) == (threshold == 0)


def test_a_file_that_vanishes_after_listing_is_one_failure(
    mixed_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable
) -> None:
    (item,) = items_of(mixed_folder)
    victim = next(mixed_folder.glob("3/*.png"))
    victim.unlink()
    scored = score(item, engine, 0.9)
    assert {f.code for f in scored.failures if f.image == victim.as_uri()} == {FailureCode.MISSING}
    assert len(scored.images) + len(scored.failures) == len(item.images)


@pytest.fixture(scope="session")
def contents(digits: np.ndarray, labels: np.ndarray, png_of: Callable) -> list[Content]:
    """1,500 images, more than a chunk: the sample's test split three times."""
    return [
        (
            ListedImage(f"file:///{number:04d}.png", 1, 1, int(labels[number % 500])),
            png_of(digits[number % 500]),
        )
        for number in range(1500)
    ]


def test_an_image_that_the_engine_cannot_score_fails_alone(
    engine: LiteRtEngine, digits: np.ndarray, contents: list[Content]
) -> None:
    whole = Classifier(engine, accept_threshold=0.9).classify(contents)
    broken = Classifier(FailsOn(engine, digits[[7, 300]]), accept_threshold=0.9).classify(contents)
    lost = {number + 500 * turn for number in (7, 300) for turn in range(3)}
    assert {failure.image for failure in broken.failures} == {contents[number][0].uri for number in lost}
    assert {(failure.code, failure.detail) for failure in broken.failures} == {("ENGINE", "no such luck")}
    kept = [number for number in range(1500) if number not in lost]
    assert [image.uri for image in broken.images] == [contents[number][0].uri for number in kept]
    np.testing.assert_array_equal(broken.first, whole.first[kept])
    np.testing.assert_array_equal(broken.confidence, whole.confidence[kept])


def test_a_broken_engine_ends_the_run_and_fills_no_report(
    engine: LiteRtEngine, digits: np.ndarray, contents: list[Content]
) -> None:
    with pytest.raises(EngineError, match="cannot score any of 512 images; the first one: no such luck"):
        Classifier(FailsOn(engine, digits), accept_threshold=0.9).classify(contents)


def test_empty_input(engine: LiteRtEngine) -> None:
    scored = Classifier(engine, accept_threshold=0.9, challenger=engine).classify([])
    assert (scored.images, scored.failures, len(scored.first)) == ((), (), 0)


def test_only_the_least_confident_pixels_are_kept(
    engine: LiteRtEngine, digits: np.ndarray, contents: list[Content]
) -> None:
    scored = Classifier(engine, accept_threshold=0.9).classify(contents)
    least = np.argsort(scored.confidence, kind="stable")[:MAX_DOUBTFUL]
    np.testing.assert_array_equal(scored.samples.doubtful.rows, least)
    np.testing.assert_array_equal(scored.samples.doubtful.digits, digits[least % 500])
    assert len(scored.samples.disagreeing.rows) == 0


def test_without_a_challenger_its_columns_are_empty(engine: LiteRtEngine, contents: list[Content]) -> None:
    scored = Classifier(engine, accept_threshold=0.9).classify(contents[:10])
    assert (scored.challenger == NO_LABEL).all()
    assert np.isnan(scored.challenger_confidence).all()
    assert summarize("x", scored, ()).agreements == ()


def test_a_challenger_sees_the_same_pixels(engine: LiteRtEngine, contents: list[Content]) -> None:
    scored = Classifier(engine, accept_threshold=0.9, challenger=engine).classify(contents)
    np.testing.assert_array_equal(scored.challenger, scored.first)
    np.testing.assert_array_equal(scored.challenger_confidence, scored.confidence)
    assert len(scored.samples.disagreeing.rows) == 0
    alone = Classifier(engine, accept_threshold=0.9).classify(contents)
    np.testing.assert_array_equal(scored.confidence, alone.confidence)


def test_the_most_confident_disagreements_are_kept(
    engine: LiteRtEngine, digits: np.ndarray, contents: list[Content]
) -> None:
    scored = Classifier(engine, accept_threshold=0.9, challenger=Contrary(engine)).classify(contents)
    np.testing.assert_array_equal(scored.challenger, (scored.first + 1) % 10)
    surest = np.argsort(-scored.confidence, kind="stable")[:MAX_DISAGREEMENTS]
    np.testing.assert_array_equal(scored.samples.disagreeing.rows, surest)
    np.testing.assert_array_equal(scored.samples.disagreeing.digits, digits[surest % 500])
    statistics = summarize("x", scored, ())
    assert sum(cell.images for cell in statistics.agreements) == 1500
    assert not any(cell.digit == cell.challenger_digit for cell in statistics.agreements)
    assert statistics.disagreements[0].challenger_digit == (statistics.disagreements[0].digit + 1) % 10


def test_a_challenger_that_fails_on_an_image_keeps_the_models_prediction(
    engine: LiteRtEngine, digits: np.ndarray, contents: list[Content]
) -> None:
    challenger = FailsOn(engine, digits[7:8])
    scored = Classifier(engine, accept_threshold=0.9, challenger=challenger).classify(contents)
    assert not scored.failures
    silent = np.flatnonzero(scored.challenger == NO_LABEL)
    np.testing.assert_array_equal(silent, [7, 507, 1007])
    assert np.isnan(scored.challenger_confidence[silent]).all()
    cells = summarize("x", scored, ()).agreements
    assert sum(cell.images for cell in cells if cell.challenger_digit == NO_LABEL) == 3


def test_a_broken_challenger_ends_the_run(
    engine: LiteRtEngine, digits: np.ndarray, contents: list[Content]
) -> None:
    with pytest.raises(EngineError, match="cannot score any"):
        Classifier(engine, accept_threshold=0.9, challenger=FailsOn(engine, digits)).classify(contents)


def test_a_classifier_is_loaded_from_bundles(bundle: Bundle, contents: list[Content]) -> None:
    classifier = load_classifier(bundle, accept_threshold=0.5, challenger=bundle)
    scored = classifier.classify(contents[:20])
    np.testing.assert_array_equal(scored.first, scored.challenger)
    assert (scored.accepted == (scored.confidence >= 0.5)).all()
