import pathlib
import shutil

import numpy as np
import pytest
from matplotlib import get_data_path

from schemas.errors import UserError
from trainer.data import decoder_pool
from trainer.data.drawing.not_digits import is_upright_stroke
from trainer.data.reading import ReadOptions, Workers
from trainer.data.rejects import Rejects
from trainer.data.sources.source_specs import open_source, open_sources

BUNDLED = pathlib.Path(get_data_path(), "fonts", "ttf")
FONTS = ("DejaVuSans", "DejaVuSerif-Italic", "DejaVuSansMono-Bold", "cmr10", "cmtt10", "STIXGeneralBol")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    made = tmp_path_factory.mktemp("fonts")
    for name in FONTS:
        shutil.copy(BUNDLED / f"{name}.ttf", made)
    return str(made)


def read(spec: str, workers: Workers | None = None, **options):
    reading = ReadOptions(**options)
    found = open_source(spec, reading)
    return found.read(validation_fraction=0.1, **({"workers": workers} if workers else {}))


def test_digits_are_balanced_and_as_many_as_asked(folder):
    digits = read(f"fonts:{folder},300")
    assert digits.name == f"fonts:{folder},300"
    assert digits.train.class_counts() == (30,) * 10
    assert digits.validation.class_counts() == digits.test.class_counts() == (3,) * 10
    assert len({image.tobytes() for image in digits.train.images}) == 300


def test_the_same_value_gives_the_same_images(folder):
    assert read(f"fonts:{folder},100").digest == read(f"fonts:{folder},100").digest
    more = read(f"fonts:{folder},200")
    assert (more.train.images[:100] == read(f"fonts:{folder},100").train.images).all()


def test_workers_share_the_images_of_one(folder):
    whole = read(f"fonts:{folder},100")
    shares = [read(f"fonts:{folder},100", Workers(index, 2)) for index in range(2)]
    together = sorted(image.tobytes() for share in shares for image in share.train.images)
    assert together == sorted(image.tobytes() for image in whole.train.images)
    assert all(share.digest == whole.digest for share in shares)
    assert all((share.test.images == whole.test.images).all() for share in shares)


def test_a_worker_with_other_fonts_is_refused(folder):
    other = Workers(1, 2, exchange=lambda own: [b"+another digest", own])
    with pytest.raises(UserError, match="this machine's fonts differ from the chief's"):
        read(f"fonts:{folder},100", other)


def test_decoded_images_are_kept_until_a_font_changes(folder, tmp_path, capsys):
    copy = shutil.copytree(folder, tmp_path / "copy")
    first = read(f"fonts:{copy},100", cache_dir=tmp_path / "cache")
    assert "reading 120 images" in capsys.readouterr().out
    assert read(f"fonts:{copy},100", cache_dir=tmp_path / "cache").digest == first.digest
    assert "taking from" in capsys.readouterr().out
    (copy / "cmtt10.ttf").unlink()
    assert read(f"fonts:{copy},100", cache_dir=tmp_path / "cache").digest != first.digest
    assert "reading 120 images" in capsys.readouterr().out


def test_one_family_is_for_training_alone_beside_other_sources():
    digits = read("fonts:cmtt10,100", complete=False)
    assert (len(digits.train), digits.validation, len(digits.test)) == (100, None, 0)
    with pytest.raises(UserError, match="none is left to test with"):
        read("fonts:cmtt10,100")


def test_two_numbers_are_refused():
    with pytest.raises(UserError, match="two numbers of images"):
        open_source("fonts:1000,2000")


def test_pictures_that_are_no_digits_are_labeled_so_in_all_splits(folder):
    rejects: list[str] = []
    found = read(f"not-digits:{folder},160", complete=False, rejects=Rejects(write=rejects.append))
    assert {name: (len(split), split.not_digits) for name, split in found.splits().items()} == {
        "train": (160, 160),
        "validation": (16, 16),
        "test": (16, 16),
    }
    assert rejects == ["source,image,code,detail\r\n"]


def test_no_picture_that_is_no_digit_is_an_upright_stroke(folder):
    found = read(f"not-digits:{folder},400", complete=False)
    assert not any(map(is_upright_stroke, found.train.images))


def test_pictures_that_are_no_digits_stand_beside_digits(folder):
    specs = [f"fonts:{folder},100", f"not-digits:{folder},100@0.5"]
    mixed = open_sources(specs).read(validation_fraction=0.1)
    assert (mixed.train_counts(), mixed.train_not_digits()) == ((10,) * 10, 100)
    assert [found.images for found in mixed.described()] == [120, 120]


def test_pictures_that_are_no_digits_need_another_source():
    with pytest.raises(UserError, match="no digits to train on"):
        open_source("not-digits:")


@pytest.mark.slow
def test_processes_draw_the_same_images(folder, monkeypatch):
    here = read(f"fonts:{folder},600")
    monkeypatch.setattr(decoder_pool, "MANY", 0)
    assert read(f"fonts:{folder},600").digest == here.digest


@pytest.mark.slow
def test_the_images_of_many_fonts_can_be_read():
    digits = read("fonts:2000")
    nearest = _centroids(digits)
    for split in (digits.validation, digits.test):
        assert (nearest(split.images) == split.labels).mean() > 0.5


def _centroids(digits):
    flat = digits.train.images.reshape(len(digits.train), -1).astype(np.float32)
    means = np.stack([flat[digits.train.labels == label].mean(axis=0) for label in range(10)])
    means -= means.mean(axis=1, keepdims=True)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return lambda images: (images.reshape(len(images), -1) @ means.T).argmax(axis=1)
