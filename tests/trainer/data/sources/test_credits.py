import numpy as np
import pytest

from tests.trainer.idx_files import write_set
from trainer.data.reading import ReadOptions
from trainer.data.sources import credits, embedded_sample
from trainer.data.sources.source_specs import open_source, open_sources
from trainer.data.splits import Digits


def of(*specs: str, **options):
    digits = open_sources(specs, ReadOptions(**options)).read(validation_fraction=0.1)
    return credits.data_sources(digits)


def test_the_sample_is_known_by_its_images():
    (found,) = of("sample")
    assert (found.source, found.images) == ("sample", 5_000)
    assert found.license == "CC BY-SA 3.0"
    assert "LeCun" in found.credit


def test_known_images_are_recognized_whatever_their_source_and_splits():
    whole = embedded_sample.digits()
    other = Digits("folder:/copy", whole.test, whole.train, whole.validation)
    assert credits.data_sources(other)[0].license == "CC BY-SA 3.0"
    less = Digits("folder:/copy", whole.test.take(np.s_[1:]), whole.train, whole.validation)
    assert credits.data_sources(less)[0].license == ""


def test_a_folder_says_whose_images_it_has(label_folder, capsys):
    (before,) = of(f"folder:{label_folder}")
    assert (before.name, before.license, before.credit) == ("", "", "")
    (label_folder / "CREDIT.txt").write_text("Meters\n CC0 \nthe waterworks\nmore\n")
    (found,) = of(f"folder:{label_folder}")
    assert (found.name, found.license, found.credit) == ("Meters", "CC0", "the waterworks")
    assert (found.images, found.digest) == (before.images, before.digest)
    assert "not used" not in capsys.readouterr().out


def test_lines_that_are_missing_are_empty(label_folder):
    (label_folder / "CREDIT.txt").write_text("Meters")
    (found,) = of(f"folder:{label_folder}")
    assert (found.name, found.license, found.credit) == ("Meters", "", "")


def test_a_list_of_labels_has_its_credit_beside_it(label_folder, tmp_path):
    rows = [f"{image},{image.parent.name}" for image in sorted(label_folder.glob("*/*.png"))]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "labels.csv").write_text("\n".join(["path,label", *rows]))
    (tmp_path / "lists" / "CREDIT.txt").write_text("Listed\nMIT\nus\n")
    (found,) = of(f"labels:{tmp_path}/lists/labels.csv")
    assert (found.name, found.license, found.credit) == ("Listed", "MIT", "us")


def test_one_of_several_idx_sets_has_the_credit_of_its_folder(few_digits, tmp_path):
    folder = write_set(tmp_path / "sets", few_digits, prefix="mine-")
    write_set(folder, few_digits, prefix="other-")
    (folder / "CREDIT.txt").write_text("Sets\nMIT\nus\n")
    (found,) = of(f"idx:{folder}/mine-")
    assert (found.name, found.license, found.credit) == ("Sets", "MIT", "us")


def test_the_credit_of_the_folder_above_is_not_taken(few_digits, tmp_path):
    (tmp_path / "CREDIT.txt").write_text("All\nMIT\nus\n")
    (found,) = of(f"idx:{write_set(tmp_path / 'idx', few_digits)}")
    assert (found.name, found.license, found.credit) == ("", "", "")


def test_each_source_of_a_mixture_is_named_without_its_weight(tmp_path, segment_fonts):
    found = of("sample", f"fonts:{segment_fonts},100@2")
    assert [one.source for one in found] == ["sample", f"fonts:{segment_fonts},100"]
    assert found[0] == of("sample")[0]
    assert found[1].images == 100
    assert found[1].license == "public domain"
    assert found[1].families == {"train": ("Segments",), "validation": (), "test": ()}


@pytest.fixture
def segment_fonts(tmp_path, segment_font):
    segment_font(tmp_path / "segments.ttf", "Segments")
    return tmp_path


@pytest.mark.shared
def test_mnist_is_known_by_its_images(shared_data):
    digits = open_source(f"idx:{shared_data}/mnist").read(validation_fraction=0.05)
    assert credits.data_sources(digits)[0].name == "MNIST"
