import dataclasses
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from digitmill.engines.bundle_loader import open_bundle
from schemas.errors import UserError
from schemas.model import bundle as names
from trainer.data.sources import embedded_sample
from trainer.job.evaluate_job import EvaluateOptions, run


def measure(bundle_path, **settings):
    return run(EvaluateOptions(**{"model": bundle_path, "data": ("sample",)} | settings))


def test_metrics_are_those_of_the_engines_predictions(bundle_path, digits, labels):
    found = measure(bundle_path)
    opened = open_bundle(bundle_path)
    answers = opened.load().probabilities(digits)
    right = answers.argmax(axis=1) == labels
    assert (found.accuracy.right, found.accuracy.images) == (right.sum(), 500)
    accepted = answers.max(axis=1) >= opened.card.accept_threshold
    assert (found.accepted.accepted, found.accepted.right) == (accepted.sum(), (accepted & right).sum())
    given = answers[np.arange(500), labels].astype(float)
    assert found.loss == pytest.approx(-np.log(np.clip(given, 1e-7, 1)).mean(), rel=1e-6)
    confusion = np.array(found.confusion)
    assert confusion.sum() == 500
    assert np.trace(confusion) == right.sum()
    assert confusion.sum(axis=1).tolist() == np.bincount(labels).tolist()


@pytest.mark.parametrize("engine", ["auto", "keras"])
def test_a_bundle_may_be_in_a_bucket(bundle_path, bucket, engine):
    for file in bundle_path.rglob("*"):
        if file.is_file():
            bucket.put(f"bundle/{file.relative_to(bundle_path).as_posix()}", file.read_bytes())
    found = measure(f"{bucket.uri}/bundle", engine=engine)
    assert found.model == f"{bucket.uri}/bundle"
    assert found.accuracy == measure(bundle_path, engine=engine).accuracy


def test_metrics_are_those_of_the_card(bundle_path):
    card = open_bundle(bundle_path).card
    found = measure(bundle_path, engine="keras")
    assert found.accuracy == card.test_accuracy
    assert found.loss == pytest.approx(card.test_loss, rel=1e-4)
    default = measure(bundle_path)
    assert default.calibration.ece == pytest.approx(card.trust.test.ece, abs=1e-6)
    assert default.accepted == card.trust.accepted_test
    held_out = measure(bundle_path, split="validation")
    assert held_out.accepted == card.trust.accepted
    formats = {row.name: row.accuracy for row in card.exports}
    assert held_out.accuracy == formats[card.litert_model]


@pytest.mark.parametrize("engine", ["litert", "litert_int8", "saved_model", "keras"])
def test_every_engine_predicts_the_same(bundle_path, engine):
    found, default = measure(bundle_path, engine=engine), measure(bundle_path)
    assert found.engine == engine
    assert abs(found.accuracy.right - default.accuracy.right) <= 3
    assert found.loss == pytest.approx(default.loss, rel=0.05)


@pytest.mark.parametrize(
    ("split", "images"), [("test", 500), ("validation", 500), ("train", 4000), ("all", 5000)]
)
def test_the_chosen_split_is_measured(bundle_path, split, images):
    found = measure(bundle_path, split=split)
    assert (found.split, found.accuracy.images) == (split, images)


def test_a_folder_of_images_is_a_source(bundle_path, tmp_path):
    test = embedded_sample.digits().test
    for number, (digit, label) in enumerate(zip(test.images, test.labels, strict=True)):
        path = tmp_path / "scans" / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), digit)
    found = measure(bundle_path, data=(f"folder:{tmp_path}/scans",), split="all")
    assert found.accuracy == measure(bundle_path).accuracy


def test_an_unusable_option_is_a_one_line_error(bundle_path, tmp_path):
    for settings, complaint in (
        ({"model": tmp_path}, "not a model bundle"),
        ({"data": ("nothing",)}, "unknown kind of --data"),
        (
            {"engine": "keras", "model": without(bundle_path, tmp_path, names.KERAS_MODEL)},
            "--engine keras needs",
        ),
    ):
        with pytest.raises(UserError, match=complaint) as refused:
            measure(**{"bundle_path": bundle_path} | settings) if "model" not in settings else run(
                EvaluateOptions(**{"data": ("sample",)} | settings)
            )
        assert "\n" not in str(refused.value)


def without(bundle_path, tmp_path, name):
    copy = shutil.copytree(bundle_path, tmp_path / "without")
    card = json.loads((copy / names.CARD).read_text())
    del card["files"][name]
    (copy / names.CARD).write_text(json.dumps(card))
    return copy


def test_a_damaged_bundle_is_refused(bundle_path, tmp_path):
    copy = shutil.copytree(bundle_path, tmp_path / "bundle")
    (copy / names.KERAS_MODEL).write_bytes(b"another")
    with pytest.raises(UserError, match="is not the file that the card names"):
        measure(copy, engine="keras")


def test_the_json_is_complete(bundle_path):
    found = measure(bundle_path)
    fields = json.loads(json.dumps(found.as_data()))
    assert fields["accuracy"]["interval_95"] == list(found.accuracy.interval)
    assert fields["accepted"]["coverage"] == found.accepted.coverage
    assert np.array(fields["confusion"]).shape == (10, 10)
    assert fields["calibration"] == dataclasses.asdict(found.calibration)


def test_the_table_shows_the_metrics(bundle_path):
    found = measure(bundle_path)
    text = found.table()
    assert str(found.accuracy) in text
    assert "500, test of sample" in text
    rows = text.splitlines()[-10:]
    assert [int(cell) for cell in rows[3].split()] == [3, *found.confusion[3]]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.slow
def test_the_default_engine_needs_no_tensorflow(bundle_path):
    program = (
        "import sys, pathlib; from trainer.job.evaluate_job import EvaluateOptions, run; "
        f"run(EvaluateOptions(model=pathlib.Path({str(bundle_path)!r}), data=('sample',), engine='litert')); "
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_few_labels_suffice(bundle_path, label_folder, tmp_path):
    files = sorted(label_folder.glob("*/*.png"))[::40]
    (tmp_path / "labels.csv").write_text(
        "path,label\n" + "".join(f"{file},{file.parent.name}\n" for file in files)
    )
    found = measure(bundle_path, data=(f"labels:{tmp_path}/labels.csv",), split="all")
    assert found.accuracy.images == 10


def test_a_source_without_images_is_refused(bundle_path, label_folder, tmp_path):
    file = sorted(label_folder.glob("*/*.png"))[0]
    path = tmp_path / "labels.csv"
    path.write_text(f"path,label\n{file},0\n")
    splits = ("train", "validation", "test")
    # The one image is in one of them.
    assert sorted(_measured(bundle_path, f"labels:{path}", split) for split in splits) == [0, 0, 1]


def _measured(bundle_path, data, split):
    try:
        return measure(bundle_path, data=(data,), split=split).accuracy.images
    except UserError as error:
        assert "the source has no such split" in str(error) or "has no images" in str(error)
        return 0


def test_no_digits_and_sources_are_measured_apart(bundle_path, tmp_path):
    test = embedded_sample.digits().test
    rng = np.random.default_rng(3)
    lines = ["path,label"]
    for number in range(40):
        cv2.imwrite(str(tmp_path / f"{number}.png"), rng.integers(0, 256, (28, 28)).astype(np.uint8))
        lines.append(f"{number}.png,unreadable")
    (tmp_path / "noise.csv").write_text("\n".join(lines))
    noise = f"labels:{tmp_path}/noise.csv"
    found = measure(bundle_path, data=("sample", noise), split="all")
    alone = measure(bundle_path, split="all")
    assert (found.accuracy, found.accepted, found.confusion) == (
        alone.accuracy,
        alone.accepted,
        alone.confusion,
    )
    assert (found.not_digits.images, alone.not_digits.images) == (40, 0)
    assert set(found.sources) == {"sample", noise}
    assert found.sources["sample"].right == alone.accuracy.right
    assert found.sources[noise].not_digits == found.not_digits
    only = measure(bundle_path, data=(noise,), split="all")
    assert (only.accuracy, only.not_digits) == (None, found.not_digits)
    assert "not a digit  40, " in only.table()
    assert "accuracy" not in only.table()
    assert json.loads(json.dumps(only.as_data()))["not_digits"]["images"] == 40
    assert len(test) == 500
