import pathlib
import shutil

import cv2
import numpy as np
import pytest

from benchmarks import workspace
from benchmarks.contenders import Model
from benchmarks.workspace import Workspace


@pytest.fixture
def sample_only(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Where MNIST is not at hand."""
    monkeypatch.setattr(workspace, "SHARED", tmp_path / "none")


@pytest.mark.usefixtures("sample_only")
def test_the_sample_is_repeated_where_mnist_is_not_at_hand() -> None:
    images, labels = workspace.digits(4_010)
    assert images.shape == (4_010, 28, 28)
    assert (images.dtype, labels.dtype) == (np.uint8, np.uint8)
    assert set(labels[:100].tolist()) == set(range(10))
    assert (images[:10] == images[4_000:]).all()
    assert (labels[:10] == labels[4_000:]).all()
    assert "sample" in workspace.source()


@pytest.mark.usefixtures("sample_only")
def test_images_are_the_digits_under_their_labels(tmp_path: pathlib.Path) -> None:
    workspace.write_images(tmp_path / "images", 30)
    images, labels = workspace.digits(30)
    paths = sorted((tmp_path / "images").rglob("*.png"), key=lambda path: path.name)
    assert [int(path.parent.name) for path in paths] == labels.tolist()
    read = np.array([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths])
    assert (read == images).all()


@pytest.mark.usefixtures("sample_only")
def test_images_are_written_once(tmp_path: pathlib.Path) -> None:
    here = Workspace(tmp_path)
    (first,) = {here.images(20), here.images(20)}
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*.png")}
    assert len(before) == 20
    assert here.images(20) == first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*.png")} == before
    assert here.images(10) != first


@pytest.mark.usefixtures("sample_only")
def test_images_that_were_not_finished_are_written_anew(tmp_path: pathlib.Path) -> None:
    here = Workspace(tmp_path)
    (tmp_path / "images-20" / "0").mkdir(parents=True)
    (tmp_path / "images-20" / "0" / "stray.png").touch()
    assert len(list(here.images(20).rglob("*.png"))) == 20


def test_a_model_is_trained_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def train(recipe: str, output: pathlib.Path) -> None:
        trained.append(recipe)
        (output / "bundle").mkdir(parents=True)
        (output / "bundle" / "model_card.json").touch()

    monkeypatch.setattr(workspace, "train", train)
    here = Workspace(tmp_path)
    for _ in range(2):
        assert here.trained(Model("small-cnn")).bundle == tmp_path / "model-small-cnn" / "bundle"
    assert trained == ["small-cnn"]
    shutil.rmtree(tmp_path / "model-small-cnn" / "bundle")
    here.trained(Model("small-cnn"))
    assert trained == ["small-cnn", "small-cnn"]


def test_an_output_is_a_place_where_nothing_is(tmp_path: pathlib.Path) -> None:
    output = Workspace(tmp_path).output("digitmill")
    output.mkdir()
    (output / "left").touch()
    assert not Workspace(tmp_path).output("digitmill").exists()
