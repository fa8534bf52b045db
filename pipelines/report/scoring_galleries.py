"""The galleries of a run's page: what a person should look at."""

from collections.abc import Iterator, Mapping

from digitmill.reports.gallery import Gallery, Picture
from digitmill.reports.numbers import share, thousands
from digitmill.storage.names import readable
from pipelines.statistics.agreement import Disagreement
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.kept_images import KeptImage
from schemas.digit import CLASSES
from schemas.failure import FailureCode
from schemas.prediction import NO_LABEL


def galleries(statistics: RunStatistics) -> Iterator[Gallery]:
    """Yields the galleries that have pictures: least sure, and confident but wrong."""
    marked = " A cross marks a wrong answer." if statistics.labelled else ""
    sorts = {
        "Least sure": (statistics.doubtful, f"The lowest confidences, as the model saw the images.{marked}"),
        "Confident but wrong": (
            statistics.mistaken,
            "The surest of the wrong answers: a label may be wrong, or the model.",
        ),
    }
    for title, (kept, reading) in sorts.items():
        if kept:
            yield Gallery(title, reading, tuple(map(_kept, kept)))


def by_digit(statistics: RunStatistics) -> tuple[tuple[int, tuple[Picture, ...]], ...]:
    """Returns each predicted digit with a sample of its images; digits without one are left out."""
    rows = (
        (digit, tuple(_kept(kept, brief=True) for kept in statistics.examples if kept.digit == digit))
        for digit in range(CLASSES)
    )
    return tuple((digit, pictures) for digit, pictures in rows if pictures)


def failure_kinds(statistics: RunStatistics, counts: Mapping[str, int]) -> Gallery | None:
    """Returns an example of each kind of failure that there was; None where there was none."""
    pictures = {picture.code: picture for picture in statistics.failure_pictures}
    shown = []
    for code in FailureCode:
        # Sorted by name: with a picture or without, the first of its kind.
        first = next((failure for failure in statistics.failures if failure.code == code), None)
        if first is None:
            continue
        seen = pictures.get(code)
        name = readable(seen.image if seen else first.image)
        shown.append(
            Picture(
                png=seen.png if seen else "",
                heading=f"{code} {thousands(counts[code])}",
                note=code.meaning if seen else f"{code.meaning} {first.detail}",
                name=name,
                alternative=f"{name}, {code}" + ("" if seen else f": no picture, {first.detail}"),
            )
        )
    if not shown:
        return None
    reading = "One example of each kind; a picture where the bytes decode."
    return Gallery("Kinds of failure", reading, tuple(shown))


def disagreements(statistics: RunStatistics) -> Gallery | None:
    """Returns the images on which both models are sure and differ; None where there is none."""
    if not statistics.disagreements:
        return None
    marked = " A cross: the model is wrong." if statistics.labelled else ""
    reading = f"Both are sure, and they differ.{marked}"
    return Gallery("Disagreements", reading, tuple(map(_disagreement, statistics.disagreements)))


def _kept(kept: KeptImage, *, brief: bool = False) -> Picture:
    name, sure = readable(kept.image), share(kept.confidence, 1)
    return Picture(
        png=kept.png,
        heading=str(kept.digit),
        note=sure if brief else f"{sure}, or {kept.second_digit}",
        name=name,
        alternative=f"{name}, taken for {kept.digit}",
        wrong=_wrong(kept),
        label=str(kept.label) if _wrong(kept) else "",
    )


def _disagreement(kept: Disagreement) -> Picture:
    name = readable(kept.image)
    sure = f"{share(kept.confidence, 1)} against {share(kept.challenger_confidence, 1)}"
    return Picture(
        png=kept.png,
        heading=f"{kept.digit} or {kept.challenger_digit}",
        note=sure,
        name=name,
        alternative=f"{name}, taken for {kept.digit}, by the challenger for {kept.challenger_digit}",
        wrong=_wrong(kept),
        label=str(kept.label) if kept.label != NO_LABEL else "",
    )


def _wrong(kept: KeptImage | Disagreement) -> bool:
    return kept.label not in (NO_LABEL, kept.digit)
