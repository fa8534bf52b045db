import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill import machine
from schemas.digit import NOT_A_DIGIT
from trainer.data.reading import ALONE, ReadOptions, Workers
from trainer.data.sources import embedded_sample
from trainer.data.sources.mixture import MixedSource, mix
from trainer.data.splits import Digits, Split, SplitSummary


def numbered(start: int, count: int) -> Split:
    """Images that say their own number, from `start`."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 0, :4] = np.arange(start, start + count, dtype=">u4").view(np.uint8).reshape(-1, 4)
    return Split(images, (np.arange(count) % 10).astype(np.uint8))


def numbers_of(split: Split) -> list[int]:
    return np.array(split.images)[:, 0, :4].copy().view(">u4")[:, 0].tolist()


def source(start: int, train: int, *, validation: int = 0, name: str = "x") -> Digits:
    held_out = numbered(start + 5_000, validation) if validation else None
    return Digits(name, numbered(start, train), held_out, numbered(start + 8_000, 3))


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5), st.floats(0.01, 100)), min_size=1, max_size=4)
)
def test_a_mixture_has_every_image_once_with_its_sources_weight(parts):
    sources = [
        source(10_000 * number, train, validation=held) for number, (train, held, _) in enumerate(parts)
    ]
    weights = [weight for _, _, weight in parts]
    mixed = mix(sources, weights, reading=ReadOptions())
    for name in ("train", "validation", "test"):
        expected = [n for one in sources if name in one.splits() for n in numbers_of(one.splits()[name])]
        assert (numbers_of(mixed.splits()[name]) if name in mixed.splits() else []) == expected
    origin = np.array(numbers_of(mixed.train)) // 10_000
    given_weights = mixed.train.weights
    assert given_weights.dtype == np.float32
    assert given_weights.mean() == pytest.approx(1, rel=1e-3)
    expected = np.array(weights)[origin]
    assert given_weights / given_weights[0] == pytest.approx(expected / expected[0], rel=1e-4)
    assert mixed.test.weights is None
    assert mixed.all_train == SplitSummary.of(mixed.train)


def test_name_and_digest_cover_all_sources():
    first, second = source(0, 30, name="sample"), source(10_000, 20, name="folder:x")
    mixed = mix([first, second], [1.0, 0.5], reading=ReadOptions())
    assert mixed.name == "sample@1 folder:x@0.5"
    other = dataclasses.replace(second, test=numbered(70_000, 3))
    assert mix([first, other], [1.0, 0.5], reading=ReadOptions()).digest != mixed.digest
    assert mix([second, first], [0.5, 1.0], reading=ReadOptions()).digest == mixed.digest


def test_no_source_trains_on_what_another_holds_out(capsys):
    first = source(0, 30, validation=4, name="first")
    leaking = Digits("second", numbered(4_998, 4), None, numbered(20_000, 3))
    mixed = mix([first, leaking], [1, 1], reading=ReadOptions())
    # 5000 and 5001 are the first's validation images.
    assert numbers_of(mixed.train) == [*range(30), 4_998, 4_999]
    assert len(mixed.train.weights) == 32
    assert "second: 2 training images are left out" in capsys.readouterr().out
    mix([first, leaking], [1, 1], reading=ReadOptions(), quiet=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_share_a_mixture(workers):
    class Numbers:
        def __init__(self, start: int) -> None:
            self._whole = source(start, 40, validation=5)

        def read(self, *, validation_fraction, workers) -> Digits:
            own = np.arange(40) % workers.count == workers.index
            train = self._whole.train
            return dataclasses.replace(self._whole, train=train.take(own), all_train=SplitSummary.of(train))

    def read(who) -> Digits:
        sources = [Numbers(0), Numbers(10_000)]
        return MixedSource(sources, [1, 3], reading=ReadOptions()).read(validation_fraction=0, workers=who)

    whole = read(ALONE)
    shared = [read(Workers(index, workers)) for index in range(workers)]
    assert sorted(n for one in shared for n in numbers_of(one.train)) == sorted(numbers_of(whole.train))
    assert {one.digest for one in shared} == {whole.digest}
    pairs = [
        pair for one in shared for pair in zip(numbers_of(one.train), one.train.weights.tolist(), strict=True)
    ]
    assert dict(pairs) == dict(zip(numbers_of(whole.train), whole.train.weights.tolist(), strict=True))


def test_a_mixture_that_does_not_fit_the_memory_stays_on_disk(tmp_path, monkeypatch):
    sources = [source(0, 300), source(10_000, 200)]
    plain = mix(sources, [1, 2], reading=ReadOptions())
    monkeypatch.setattr(machine, "available_in_process", lambda: 100 * 784)
    mixed = mix(sources, [1, 2], reading=ReadOptions(cache_dir=str(tmp_path)))
    assert isinstance(mixed.train.images, np.memmap)
    assert (mixed.train.images == plain.train.images).all()
    assert mixed.digest == plain.digest
    # The file goes with the array, whatever becomes of the process.
    assert list(tmp_path.iterdir()) == []


def test_real_sources_mix(few_digits):
    mixed = mix([embedded_sample.digits(), few_digits], [1, 2], reading=ReadOptions())
    # The few are some of the sample's, each on its own side already.
    assert len(mixed.train) == 4_400


def test_images_keep_their_source():
    parts = [
        source(0, 30, validation=4, name="a"),
        source(10_000, 20, name="b"),
        source(20_000, 9, validation=2, name="c"),
    ]
    mixed = mix(parts, [1.0, 2.0, 1.0], reading=ReadOptions())
    assert mixed.sources == ("a", "b", "c")
    for split in mixed.splits().values():
        assert split.sources.tolist() == [number // 10_000 for number in numbers_of(split)]
    odd = mixed.test.take(np.arange(1, len(mixed.test), 2))
    assert odd.sources.tolist() == [number // 10_000 for number in numbers_of(odd)]


def test_a_source_of_no_digits_alone_may_stand_beside_others():
    letters = source(10_000, 20, validation=3)
    letters = dataclasses.replace(
        letters,
        **{
            name: dataclasses.replace(split, labels=np.full(len(split), NOT_A_DIGIT, np.uint8))
            for name, split in letters.splits().items()
        },
    )
    mixed = mix([source(0, 30, validation=4), letters], [1.0, 1.0], reading=ReadOptions())
    assert mixed.train_not_digits() == 20
    assert mixed.train_images() == 50
    assert (mixed.validation.not_digits, mixed.test.not_digits) == (3, 3)
