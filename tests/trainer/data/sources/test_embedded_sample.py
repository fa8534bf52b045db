from digitmill.imaging.canonical import canonicalize
from trainer.data.sources import embedded_sample
from trainer.data.sources.embedded_sample import SampleSource


def test_the_sample_has_4000_500_and_500_balanced_images():
    splits = embedded_sample.digits().splits()
    assert {name: split.class_counts() for name, split in splits.items()} == {
        "train": (400,) * 10,
        "validation": (50,) * 10,
        "test": (50,) * 10,
    }


def test_no_image_is_in_two_splits():
    pictures = [
        image.tobytes() for split in embedded_sample.digits().splits().values() for image in split.images
    ]
    assert len(set(pictures)) == 5_000


def test_the_split_is_made_once_and_for_all():
    assert (
        embedded_sample.digits().digest == "366e4b5f894eb58b681aeff1bba6449bde8e98b291fbc9c03a0906c80134ad8f"
    )


def test_its_images_are_canonical_byte_for_byte():
    for split in embedded_sample.digits().splits().values():
        assert all((canonicalize(image) == image).all() for image in split.images)


def test_it_keeps_its_own_validation_split():
    assert SampleSource().read(validation_fraction=0.0).digest == embedded_sample.digits().digest


def test_it_needs_no_tensorflow(run_python):
    assert "False" in run_python(
        "import sys; from trainer.data.sources import embedded_sample as sample; sample.digits(); "
        "print('tensorflow' in sys.modules)"
    )
