import numpy as np
import pytest

from schemas.errors import UserError
from trainer.data.reading import ReadOptions
from trainer.data.sources.catalog import CatalogSource
from trainer.data.sources.drawn import FontsSource, NotDigitsSource
from trainer.data.sources.embedded_sample import SampleSource
from trainer.data.sources.folder import FolderSource
from trainer.data.sources.idx import IdxSource
from trainer.data.sources.labels_file import LabelsSource
from trainer.data.sources.mixture import MixedSource
from trainer.data.sources.source_specs import check_places, open_source, open_sources, split_weight
from trainer.data.sources.tfrecord_source import RecordsSource


def test_each_kind_has_its_source(label_folder, tmp_path):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte").touch()
    (tmp_path / "labels.csv").write_text("path,label\nlabeled/0/000.png,0\n")
    assert isinstance(open_source("sample"), SampleSource)
    assert isinstance(open_source("tfds:mnist", ReadOptions(data_dir="gs://bucket/tfds")), CatalogSource)
    assert isinstance(open_source(f"folder:{label_folder}"), FolderSource)
    assert isinstance(open_source(f"labels:{tmp_path}/labels.csv"), LabelsSource)
    assert isinstance(open_source(f"idx:{tmp_path}"), IdxSource)
    assert isinstance(open_source(f"tfrecord:{tmp_path}/labels.csv"), RecordsSource)
    assert isinstance(open_source("fonts:"), FontsSource)
    assert isinstance(open_source("not-digits:", ReadOptions(complete=False)), NotDigitsSource)


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ("sampel", "did you mean sample?"),
        ("mnist", "tfds:mnist"),
        ("scans/2026", "folder:scans/2026"),
        ("labels.csv", "labels:labels.csv"),
        ("tfds:", "tfds:mnist"),
        ("folder:", "folder:"),
        ("csv:labels.csv", "give sample, tfds:NAME, folder:PATH, labels:FILE.csv"),
        ("sample:all", "sample"),
        ("fonts", "did you mean fonts:?"),
        ("not-digit", "did you mean not-digits:?"),
        ("idx:", "idx:DIR, tfrecord:GLOB"),
        ("", "give sample, tfds:NAME"),
    ],
)
def test_unknown_sources_are_refused_with_a_suggestion(spec, remedy):
    with pytest.raises(UserError) as refusal:
        open_source(spec)
    assert refusal.value.error == "unknown kind of --data"
    assert refusal.value.value == spec
    assert remedy in refusal.value.hint


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("scans", "did you mean folder:scans?"),
        ("scan", "did you mean folder:scans?"),
        ("mnist/raw", "did you mean idx:mnist/raw?"),
        ("truth.csv", "did you mean labels:truth.csv?"),
        ("packed-0.tfrecord", "did you mean tfrecord:packed-0.tfrecord?"),
        ("folder:scan", "did you mean scans?"),
        ("idx:mnist/row", "did you mean mnist/raw?"),
        ("labels:truth.cvs@3", "did you mean truth.csv?"),
        ("folder:nothing/like/it", "check the path"),
    ],
)
def test_a_place_that_is_there_is_suggested(spec, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    (tmp_path / "mnist/raw").mkdir(parents=True)
    for name in ("mnist/raw/train-images-idx3-ubyte", "truth.csv", "packed-0.tfrecord"):
        (tmp_path / name).touch()
    with pytest.raises(UserError) as refusal:
        check_places(spec)
    assert refusal.value.hint == hint
    check_places(["sample", "fonts:", "folder:scans@2", "labels:truth.csv", "folder:gs://bucket/scans"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sample", ("sample", 1.0)),
        ("sample@2", ("sample", 2.0)),
        ("sample@.5", ("sample", 0.5)),
        ("folder:a@b", ("folder:a@b", 1.0)),
        ("folder:a@b@1e-3", ("folder:a@b", 0.001)),
        ("folder:set@2@1", ("folder:set@2", 1.0)),
        ("folder:me@home/2026", ("folder:me@home/2026", 1.0)),
        ("folder:a@", ("folder:a@", 1.0)),
        ("folder:a@e", ("folder:a@e", 1.0)),
    ],
)
def test_a_number_after_the_last_at_is_a_weight(given, expected):
    assert split_weight(given) == expected


@pytest.mark.parametrize("given", ["sample@0", "sample@-1", "sample@1e999", "sample@1.2.3"])
def test_other_weights_are_refused(given):
    with pytest.raises(UserError, match="weight of a source is not a positive number"):
        split_weight(given)


def test_one_source_stays_itself_and_several_are_mixed(label_folder):
    assert isinstance(open_sources("sample"), SampleSource)
    assert isinstance(open_sources(["sample@3"]), SampleSource)
    mixed = open_sources(("sample", f"folder:{label_folder}@3"))
    assert isinstance(mixed, MixedSource)
    digits = mixed.read(validation_fraction=0.1)
    assert np.unique(digits.train.weights).size == 2


def test_the_same_source_twice_is_refused():
    with pytest.raises(UserError, match="--data names a source twice"):
        open_sources(["sample", "sample"])


def test_opening_needs_no_tensorflow(run_python):
    code = (
        "import sys; from trainer.data.sources.source_specs import open_sources as o; "
        "o(['sample', 'tfds:mnist@2'])"
    )
    assert "False" in run_python(f"{code}; print('tensorflow' in sys.modules)")


@pytest.mark.parametrize(
    "spec", ["folder:ftp://bucket/x", "labels:https://x/y.csv", "idx:http://x/y", "tfrecord:http://b/*"]
)
def test_other_storages_are_refused(spec):
    with pytest.raises(UserError, match="neither a path nor an address in gs://"):
        open_source(spec)
