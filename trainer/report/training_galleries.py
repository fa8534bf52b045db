"""The image galleries of a run's page."""

from collections.abc import Iterator

from digitmill.reports.gallery import Gallery, Picture, by_digit
from digitmill.reports.label_errors import TITLE, SelfConfidence
from digitmill.reports.numbers import share, thousands
from trainer.report.record import RunRecord, SampleImage


def galleries(record: RunRecord) -> Iterator[Gallery]:
    """Yield the non-empty galleries of misclassified, possibly mislabeled, and least confident images."""
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
    if record.label_suspects:
        known = SelfConfidence(record.self_confidence)
        splits = " and ".join(dict.fromkeys(image.split for image in record.label_suspects))
        reading = f"{known.reading(record.label_suspects)} Images of {splits}, which it was not trained on."
        yield Gallery(TITLE, reading, tuple(map(_picture, record.label_suspects)))
    if record.doubtful:
        yield Gallery(
            "Least sure", "Test images of the lowest confidence.", tuple(map(_picture, record.doubtful))
        )


def samples_by_digit(record: RunRecord) -> list[tuple[int, list[Picture]]]:
    """Return sample images of each digit; digits without images are left out."""
    return by_digit((image.label, _picture(image)) for image in record.sample)


def augmented(record: RunRecord) -> list[tuple[int, list[Picture]]]:
    """Return training images, each followed by its augmented copies, by digit; empty without augmentation."""
    return by_digit(
        (image.label, _augmented_picture(image.label, png, number))
        for image in record.augmented
        for number, png in enumerate((image.png, *image.copies))
    )


def _augmented_picture(label: int, png: str, number: int) -> Picture:
    note = f"changed {number}" if number else "as it is"
    return Picture(
        png=png, heading=str(label), note=note, name=note, alternative=f"training image of {label}, {note}"
    )


def _picture(image: SampleImage) -> Picture:
    wrong = image.digit != image.label
    return Picture(
        png=image.png,
        heading=str(image.digit),
        note=f"{share(image.confidence)}, or {image.second_digit}",
        name=f"no. {image.image}" if image.split == "test" else f"{image.split} no. {image.image}",
        alternative=f"{image.split} image {image.image}, {image.label} taken for {image.digit}",
        wrong=wrong,
        label=str(image.label) if wrong else "",
    )
