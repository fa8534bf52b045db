"""Galleries of the report page: images for people to look at."""

from collections.abc import Iterator, Mapping, Sequence

from digitmill.reports import failure_words, label_errors
from digitmill.reports.gallery import Gallery, Picture, by_digit
from digitmill.reports.numbers import share, thousands
from digitmill.storage.names import readable
from pipelines.report.originals import ImageLinks
from pipelines.statistics.agreement import Disagreement
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.kept_images import FailurePicture, KeptImage
from pipelines.statistics.label_suspects import label_suspects, self_confidence
from schemas.failure import Failure, FailureCode
from schemas.prediction import NO_LABEL


def review_galleries(statistics: RunStatistics, links: ImageLinks) -> Iterator[Gallery]:
    """Yield the galleries of least confident images and of likely label errors, if not empty."""
    marked = " A cross marks a wrong answer." if statistics.labeled else ""
    doubtful = f"The lowest confidences, as the model saw the images.{marked}"
    suspects = label_suspects(statistics)
    doubted = f"{self_confidence(statistics).reading(suspects)} The page of digitmill review has them, too."
    for title, reading, kept in (
        ("Least sure", doubtful, statistics.doubtful),
        (label_errors.TITLE, doubted, suspects),
    ):
        if kept:
            yield Gallery(title, reading, tuple(_sample_picture(each, links) for each in kept))


def samples_by_digit(statistics: RunStatistics, links: ImageLinks) -> list[tuple[int, list[Picture]]]:
    """Return sample images of each predicted digit; digits without images are left out."""
    return by_digit((kept.digit, _sample_picture(kept, links, brief=True)) for kept in statistics.examples)


def confused_galleries(statistics: RunStatistics, links: ImageLinks) -> dict[tuple[int, int], Gallery]:
    """Return a gallery of sample images per cell of the confusion matrix, by label and predicted digit."""
    found: dict[tuple[int, int], dict[str, KeptImage]] = {}
    for kept in (*statistics.confused, *statistics.mistaken, *statistics.examples, *statistics.doubtful):
        if kept.label != NO_LABEL:
            found.setdefault((kept.label, kept.digit), {}).setdefault(kept.image, kept)
    return {cell: _confused(cell, list(found[cell].values()), statistics, links) for cell in sorted(found)}


def _confused(
    cell: tuple[int, int], kept: Sequence[KeptImage], statistics: RunStatistics, links: ImageLinks
) -> Gallery:
    label, digit = cell
    count = statistics.confusion[label][digit]
    title = f"{label} answered right" if label == digit else f"{label} taken for {digit}"
    reading = f"{thousands(len(kept))} of {thousands(count)}." if len(kept) < count else ""
    return Gallery(title, reading, tuple(_sample_picture(each, links) for each in kept))


def failure_gallery(
    statistics: RunStatistics, counts: Mapping[str, int], links: ImageLinks
) -> Gallery | None:
    """Return an example of each failure code that occurred; None without failures."""
    pictures = {picture.code: picture for picture in statistics.failure_pictures}
    # The kept picture of a code is the first by name, and failures are sorted by name too.
    first: dict[str, Failure] = {}
    kinds = sum(count > 0 for count in counts.values())
    for failure in statistics.failures if kinds else ():
        first.setdefault(failure.code, failure)
        if len(first) == kinds:
            break  # there may be millions
    examples = tuple(
        _failure_example(first[code], pictures.get(code), count=counts[code], links=links)
        for code in FailureCode
        if code in first
    )
    reading = "With one example each; a picture where the bytes decode."
    return Gallery("Kinds of failure", reading, examples) if examples else None


def _failure_example(
    failure: Failure, kept: FailurePicture | None, *, count: int, links: ImageLinks
) -> Picture:
    code, image = FailureCode(failure.code), failure.image if kept is None else kept.image
    name = readable(image)
    return Picture(
        png="" if kept is None else kept.png,
        heading=failure_words.sentence(code, count),
        # The detail describes the example, so it is shown only with the example's picture.
        note=f"{code}: {failure.detail}" if image == failure.image else f"{code}.",
        name=name,
        alternative=f"{name}, {code}" + (f": no picture, {failure.detail}" if kept is None else ""),
        link=links.to(image),
        remedy=failure_words.remedy(code),
    )


def disagreement_gallery(statistics: RunStatistics, links: ImageLinks) -> Gallery | None:
    """Return the images on which both models are confident but differ; None if there are none."""
    if not statistics.disagreements:
        return None
    marked = " A cross: the model is wrong." if statistics.labeled else ""
    reading = f"They differ; those of which both are sure come first.{marked}"
    return Gallery(
        "Disagreements",
        reading,
        tuple(_disagreement_picture(each, links) for each in statistics.disagreements),
    )


def _sample_picture(kept: KeptImage, links: ImageLinks, *, brief: bool = False) -> Picture:
    name, confidence = readable(kept.image), share(kept.confidence, 1)
    return Picture(
        png=kept.png,
        heading=str(kept.digit),
        note=confidence if brief else f"{confidence}, or {kept.second_digit}",
        name=name,
        alternative=f"{name}, taken for {kept.digit}",
        wrong=_is_wrong(kept),
        label=str(kept.label) if _is_wrong(kept) else "",
        link=links.to(kept.image),
        original="" if brief else links.original(kept.image),
    )


def _disagreement_picture(kept: Disagreement, links: ImageLinks) -> Picture:
    name = readable(kept.image)
    return Picture(
        png=kept.png,
        heading=f"{kept.digit} or {kept.challenger_digit}",
        note=f"{share(kept.confidence, 1)} against {share(kept.challenger_confidence, 1)}",
        name=name,
        alternative=f"{name}, taken for {kept.digit}, by the challenger for {kept.challenger_digit}",
        wrong=_is_wrong(kept),
        label=str(kept.label) if kept.label != NO_LABEL else "",
        link=links.to(kept.image),
        original=links.original(kept.image),
    )


def _is_wrong(kept: KeptImage | Disagreement) -> bool:
    return kept.label not in (NO_LABEL, kept.digit)
