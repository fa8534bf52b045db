"""Against the real TensorFlow Datasets: its builders, and data sets that it prepared."""

import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from digitmill.imaging.canonical import canonicalize
from schemas.errors import UserError
from trainer.data.reading import ReadOptions, Workers
from trainer.data.sources import embedded_sample
from trainer.data.sources.catalog import CatalogSource
from trainer.data.splits import Digits


def read(name: str, data_dir: pathlib.Path, fraction: float = 0.0) -> Digits:
    return CatalogSource(name, ReadOptions(data_dir=str(data_dir))).read(validation_fraction=fraction)


def refusal_of(name: str, data_dir: pathlib.Path) -> str:
    with pytest.raises(UserError) as refusal:
        read(name, data_dir)
    message = str(refusal.value)
    assert "\n" not in message
    assert f"tfds:{name}" in message
    return message


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def fail(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


def pictures(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, dict]]:
    pairs = zip(images, labels, strict=True)
    return [(number, {"image": image, "label": int(label)}) for number, (image, label) in enumerate(pairs)]


def prepare(
    data_dir: pathlib.Path,
    name: str,
    *,
    splits: dict,
    shape: tuple = (28, 28, 1),
    config: str | None = None,
    version: str = "1.0.0",
    names: list[str] | None = None,
) -> None:
    """Let TFDS itself write a data set, which its own builder of that name then finds prepared."""
    label = tfds.features.ClassLabel(names=names) if names else tfds.features.ClassLabel(num_classes=10)
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=tfds.core.BuilderConfig(name=config) if config else None,
        version=version,
        data_dir=data_dir,
        features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=shape), "label": label}),
        split_datasets=splits,
        disable_shuffling=True,
    )


@pytest.fixture
def mnist_dir(shared_data, tmp_path) -> pathlib.Path:
    """A data_dir in whose cache MNIST's own files lie, so that it is built from them without network."""
    seed = [sys.executable, shared_data / "mnist" / "seed_tfds_cache.py", tmp_path]
    subprocess.run(seed, check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def sample_dir(tmp_path) -> pathlib.Path:
    """A data_dir in which the sample is prepared under the name of MNIST."""
    whole = embedded_sample.digits()
    splits = {
        name: pictures(split.images[..., None], split.labels)
        for name, split in whole.splits().items()
        if name != "validation"
    }
    prepare(tmp_path, "mnist", version="3.0.1", splits=splits)
    return tmp_path


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("sample_dir", marks=pytest.mark.slow),
        pytest.param("mnist_dir", marks=pytest.mark.shared),
    ],
)
def test_mnist_is_prepared_and_read_byte_for_byte(data, request, capsys):
    data_dir = request.getfixturevalue(data)
    digits = read("mnist", data_dir, fraction=5_000 / 60_000)
    builder = tfds.builder("mnist", data_dir=data_dir)
    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    assert len(digits.validation) == round(sizes["train"] / 12)
    assert len(digits.train) + len(digits.validation) == sizes["train"]
    records = tfds.as_numpy(builder.as_dataset(split="test", batch_size=-1))
    assert (records["image"][..., 0] == digits.test.images).all()
    assert (records["label"] == digits.test.labels).all()
    assert "not usable" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_data_and_the_hold_out_are_the_same_every_time(tmp_path):
    whole = embedded_sample.digits()
    splits = {
        name: pictures(split.images[..., None], split.labels)
        for name, split in {"train": whole.validation, "test": whole.test}.items()
    }
    prepare(tmp_path, "my_digits", splits=splits)
    assert read("my_digits", tmp_path, 0.1).digest == read("my_digits", tmp_path, 0.1).digest


def test_emnist_is_transposed(tmp_path):
    whole = embedded_sample.digits()
    lying = whole.test.images.transpose(0, 2, 1)[..., None]
    splits = {name: pictures(lying, whole.test.labels) for name in ("train", "test")}
    prepare(tmp_path, "emnist", config="digits", version="3.1.0", splits=splits)
    digits = read("emnist/digits", tmp_path)
    assert (digits.test.images == whole.test.images).all()
    assert (digits.train.images == whole.test.images).all()


def colored(images: np.ndarray) -> np.ndarray:
    """Blue digits on a yellow ground, 32 x 32, in the order red, green, blue."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None] / 255
    return np.round(padded * [30, 30, 200] + (1 - padded) * [250, 220, 40]).astype(np.uint8)


@pytest.mark.slow
def test_colored_images_of_another_size_are_canonicalized(tmp_path):
    whole = embedded_sample.digits()
    pictures_of = {name: colored(getattr(whole, name).images[::10]) for name in ("train", "test")}
    splits = {name: pictures(found, getattr(whole, name).labels[::10]) for name, found in pictures_of.items()}
    prepare(tmp_path, "house_numbers", shape=(32, 32, 3), splits=splits)
    digits = read("house_numbers", tmp_path)
    # OpenCV's order, and so imaging's, is blue first.
    expected = [canonicalize(np.ascontiguousarray(picture[..., ::-1])) for picture in pictures_of["test"]]
    assert (digits.test.images == np.stack(expected)).all()
    assert digits.test.labels.tolist() == whole.test.labels[::10].tolist()


@pytest.mark.slow
def test_images_of_different_sizes_and_a_given_validation_split(tmp_path):
    whole = embedded_sample.digits()
    sized = [np.pad(image, number % 5)[..., None] for number, image in enumerate(whole.test.images[::5])]
    labels = whole.test.labels[::5]
    splits = {name: pictures(sized, labels) for name in ("train", "validation", "test")}
    prepare(tmp_path, "odd_digits", shape=(None, None, 1), splits=splits)
    digits = read("odd_digits", tmp_path, fraction=0.5)
    assert [len(split) for split in digits.splits().values()] == [100, 100, 100]


def with_blanks(count: int) -> dict:
    images = embedded_sample.digits().test.images[:100, ..., None].copy()
    blank = images.copy()
    blank[:count] = 0
    answers = np.arange(100) % 10
    return {"train": pictures(blank, answers), "test": pictures(images, answers)}


@pytest.mark.slow
def test_blank_pictures_are_named_and_counted(tmp_path, capsys):
    prepare(tmp_path, "my_digits", splits=with_blanks(2))
    digits = read("my_digits", tmp_path)
    printed = capsys.readouterr().out
    assert (len(digits.train), digits.train.labels[:2].tolist()) == (98, [2, 3])
    assert "'train[1]': BLANK" in printed
    assert "tfds:my_digits: left out 2 of 200 images, which cannot be used" in printed


def test_more_than_one_percent_blank_pictures_stop_the_job(tmp_path):
    prepare(tmp_path, "my_digits", splits=with_blanks(3))
    assert "3 of 200" in refusal_of("my_digits", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("sized", [False, True])
def test_shards_are_disjoint_and_complete_and_hold_out_the_same(tmp_path, sized):
    whole = embedded_sample.digits()
    found = {
        name: [
            np.pad(image, (0 if sized else number % 3))[..., None]
            for number, image in enumerate(split.images[:101])
        ]
        for name, split in {"train": whole.validation, "test": whole.test}.items()
    }
    splits = {name: pictures(images, whole.test.labels[:101]) for name, images in found.items()}
    shape = (28, 28, 1) if sized else (None, None, 1)
    prepare(tmp_path, "my_digits", shape=shape, splits=splits)
    source = CatalogSource("my_digits", ReadOptions(data_dir=str(tmp_path)))
    alone = source.read(validation_fraction=0.2)
    shared = [source.read(validation_fraction=0.2, workers=Workers(index, 3)) for index in range(3)]
    trained = sorted(image.tobytes() for one in shared for image in one.train.images)
    assert trained == sorted(image.tobytes() for image in alone.train.images)
    assert len({one.digest for one in [alone, *shared]}) == 1
    # With an exchange that gives back what one said, this worker's own share is all that is decoded.
    own = source.read(validation_fraction=0.2, workers=Workers(1, 3, lambda told: [told]))
    assert (own.train.images == shared[1].train.images).all()
    held_out = {image.tobytes() for image in alone.validation.images}
    assert {image.tobytes() for image in own.validation.images} < held_out


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist", "cifar100", "emnist/letters", "imdb_reviews"])
def test_a_data_set_of_other_things_is_refused_before_it_is_downloaded(name, tmp_path):
    message = refusal_of(name, tmp_path)
    assert "has no images with labels 0 to 9" in message
    assert "svhn_cropped" in message
    assert not list(tmp_path.rglob("*.tmp*"))


def test_class_names_are_checked_again_after_preparation(tmp_path):
    whole = embedded_sample.digits().test
    found = pictures(np.repeat(whole.images[:20, 2:-2, 2:-2, None], 3, axis=3), whole.labels[:20])
    names = ["airplane", "bird", "car", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    prepare(tmp_path, "odd", shape=(24, 24, 3), splits={"train": found, "test": found}, names=names)
    assert "labels airplane, bird, car" in refusal_of("odd", tmp_path)


def test_a_data_set_without_a_test_split_is_refused(tmp_path):
    whole = embedded_sample.digits().test
    prepare(tmp_path, "my_digits", splits={"train": pictures(whole.images[..., None], whole.labels)})
    assert "lacks a split train or test" in refusal_of("my_digits", tmp_path)


@pytest.mark.parametrize("name", ["mnst", "mnist:9.9.9", "emnist/nothing", "bad name!", "no_space:mnist"])
def test_an_unknown_data_set_is_refused(name, tmp_path):
    assert "Digit sets are mnist" in refusal_of(name, tmp_path)


def test_without_a_network_it_gives_up_after_a_few_retries(tmp_path, monkeypatch, capfd):
    waits = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    message = refusal_of("emnist/mnist", tmp_path)
    assert "Connect to the network" in message
    assert "--data-dir" in message
    assert sum(waits) < 10
    out, err = capfd.readouterr()
    assert out.splitlines() == [f"tfds:emnist/mnist: preparing it in {tmp_path}"]
    assert "Retrying" not in err
