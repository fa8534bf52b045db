"""The galleries of one run's page: what a person should look at."""

from collections.abc import Iterator, Sequence

from digitmill.reports.gallery import Gallery, Picture
from digitmill.reports.numbers import share, thousands
from schemas.digit import CLASSES
from trainer.report.record import RunRecord, ShownImage


def galleries(record: RunRecord) -> Iterator[Gallery]:
    """Yields the galleries that have pictures: answered wrong, and least sure."""
    test = record.answers["test"]
    wrong = test.images - test.right
    if record.mistaken:
        some = f"The {len(record.mistaken):,} surest of " if wrong > len(record.mistaken) else "All "
        yield Gallery(
            "Answered wrong",
            f"{some}{thousands(wrong)} wrong answers on test images, the surest first: a label may be wrong, "
            "or the network.",
            tuple(map(_picture, record.mistaken)),
        )
    if record.doubtful:
        yield Gallery(
            "Least sure",
            "Test images of the lowest confidence.",
            tuple(map(_picture, record.doubtful)),
        )


def by_digit(sample: Sequence[ShownImage]) -> tuple[tuple[int, tuple[Picture, ...]], ...]:
    """Returns each true digit with some of its images; digits without one are left out."""
    rows = (
        (digit, tuple(_picture(shown) for shown in sample if shown.label == digit))
        for digit in range(CLASSES)
    )
    return tuple((digit, pictures) for digit, pictures in rows if pictures)


def _picture(shown: ShownImage) -> Picture:
    wrong = shown.digit != shown.label
    return Picture(
        png=shown.png,
        heading=str(shown.digit),
        note=f"{share(shown.confidence)}, or {shown.second_digit}",
        name=f"no. {shown.image}",
        alternative=f"test image {shown.image}, {shown.label} taken for {shown.digit}",
        wrong=wrong,
        label=str(shown.label) if wrong else "",
    )
