from hypothesis import given
from hypothesis import strategies as st

from pipelines.statistics.audit_sample import AuditedImage, AuditSample, audit_rank, merge_samples


def sample_of(names: list[str], size: int) -> AuditSample:
    images = sorted(AuditedImage(audit_rank(name, "model"), name, 1, 3, 0.5) for name in names)
    return AuditSample(size, tuple(images[:size]))


@given(st.lists(st.text(max_size=5), unique=True, max_size=60), st.integers(1, 20), st.randoms())
def test_the_sample_is_the_same_however_the_images_are_split(names: list[str], size: int, random) -> None:
    parts: list[list[str]] = [[], [], []]
    for name in names:
        random.choice(parts).append(name)
    assert merge_samples(sample_of(part, size) for part in parts) == (sample_of(names, size),)


def test_samples_of_two_sizes_become_one_of_the_smaller() -> None:
    names = [f"image {number}" for number in range(50)]
    assert merge_samples([sample_of(names[:30], 20), sample_of(names[30:], 5)]) == (sample_of(names, 5),)
    assert merge_samples([]) == ()


def test_every_image_is_as_likely_as_any_other() -> None:
    names = [f"file:///scans/{number:06d}.png" for number in range(20_000)]
    (sample,) = merge_samples([sample_of(names, 2_000)])
    drawn = [int(image.image[-10:-4]) for image in sample.images]
    assert len(set(drawn)) == 2_000
    # A tenth of each tenth, to within four standard deviations.
    for start in range(0, 20_000, 2_000):
        assert abs(sum(start <= number < start + 2_000 for number in drawn) - 200) < 54


def test_another_model_draws_other_images() -> None:
    names = [f"file:///scans/{number:06d}.png" for number in range(2_000)]
    first, second = (
        set(sorted(names, key=lambda name: audit_rank(name, model))[:200]) for model in ("one", "two")
    )
    # A tenth of either is in the other by chance, to within five standard deviations.
    assert len(first & second) < 42
