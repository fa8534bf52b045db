"""Predictions of one work item as columns, and their statistics."""

import dataclasses
import heapq

import numpy as np

from digitmill.reports.gallery import inline_png
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import folder_of
from pipelines.scoring.report_samples import LowestRankedPixels, ReportSamples
from pipelines.statistics.agreement import Disagreement, count_agreements
from pipelines.statistics.audit_sample import AuditDraw, AuditedImage, AuditSample, audit_rank
from pipelines.statistics.item_statistics import CONFIDENCE_BINS, ItemStatistics
from pipelines.statistics.kept_images import FailurePicture, KeptImage
from pipelines.statistics.tallies import Tally
from pipelines.statistics.thresholds import count_confidences
from schemas.digit import CLASSES
from schemas.failure import Failure
from schemas.manifest import Part
from schemas.prediction import NO_DIGIT_SHARE, NO_LABEL, NO_NUMBER, spread_share


@dataclasses.dataclass(frozen=True)
class ScoredBatch:
    """Predictions for one work item, as columns of equal length.

    Attributes:
        images: the images that were scored, in the item's order.
        first: int64[N], the most probable digit.
        second: int64[N], the second most probable digit.
        confidence: float32[N], probability of `first`.
        second_confidence: float32[N], probability of `second`.
        accepted: bool[N], whether the confidence reaches the accept threshold.
        challenger: int64[N], the challenger's most probable digit; `NO_LABEL` without a prediction.
        challenger_confidence: float32[N], its probability; NaN without a prediction.
        failures: the images that were not scored.
        samples: sample images for the report, by row number.
        all_probabilities: float32[N, 10]; None if unknown.
    """

    images: tuple[ListedImage, ...]
    first: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    second_confidence: np.ndarray
    accepted: np.ndarray
    challenger: np.ndarray
    challenger_confidence: np.ndarray
    failures: tuple[Failure, ...]
    samples: ReportSamples
    all_probabilities: np.ndarray | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """Probabilities of all digits, float32[N, 10]; NaN if unknown."""
        if self.all_probabilities is None:
            return np.full((len(self.images), CLASSES), NO_NUMBER, np.float32)
        return self.all_probabilities

    @property
    def not_digits(self) -> np.ndarray:
        """Rows for review that are probably not a digit, bool[N]."""
        spread = spread_share(self.confidence, self.second_confidence)
        return ~self.accepted & (spread >= np.float32(NO_DIGIT_SHARE))


def summarize(
    digest: str, scored: ScoredBatch, parts: tuple[Part, ...], *, audit: AuditDraw | None = None
) -> ItemStatistics:
    """Return the statistics of a batch, with the files of its rows and a sample for the audit, if wanted."""
    labels = np.array([image.label for image in scored.images], np.int64)
    known = labels != NO_LABEL
    right = known & (labels == scored.first)
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(confusion, (labels[known], scored.first[known]), 1)
    bins = np.minimum((scored.confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    return ItemStatistics(
        digest=digest,
        listed=len(scored.images) + len(scored.failures),
        scored=len(scored.images),
        accepted=int(scored.accepted.sum()),
        failures=scored.failures,
        tallies=_tallies(scored, known=known, right=right),
        confidences=tuple(np.bincount(bins, minlength=CONFIDENCE_BINS).tolist()),
        confusion=tuple(map(tuple, confusion.tolist())),
        doubtful=_kept(scored, scored.samples.doubtful),
        parts=parts,
        agreements=count_agreements(scored.first, scored.challenger, labels=labels),
        disagreements=_disagreements(scored),
        accepted_labeled=int((known & scored.accepted).sum()),
        accepted_right=int((right & scored.accepted).sum()),
        thresholds=count_confidences(scored.confidence, known=known, right=right),
        not_digits=int(scored.not_digits.sum()),
        self_confidence=_self_confidence(scored, labels[known], known),
        ink=scored.samples.ink.counts(),
        gray_levels=tuple(scored.samples.gray_levels.tolist()),
        mistaken=_kept(scored, scored.samples.mistaken),
        examples=tuple(kept for row in scored.samples.examples for kept in _kept(scored, row)),
        confused=tuple(
            kept for _, cell in sorted(scored.samples.confused.items()) for kept in _kept(scored, cell)
        ),
        audit=() if audit is None else (_audited(scored, audit),),
        failure_pictures=tuple(
            FailurePicture(code, image, inline_png(pixels))
            for code, (image, pixels) in sorted(scored.samples.failed.items())
        ),
    )


def _self_confidence(scored: ScoredBatch, labels: np.ndarray, known: np.ndarray) -> tuple[float, ...]:
    first, second = scored.first[known] == labels, scored.second[known] == labels
    own = np.where(first, scored.confidence[known], np.where(second, scored.second_confidence[known], 0))
    return tuple(np.bincount(labels, weights=own, minlength=CLASSES).tolist())


def _tallies(scored: ScoredBatch, *, known: np.ndarray, right: np.ndarray) -> tuple[Tally, ...]:
    numbers: dict[str, int] = {}
    folders = [numbers.setdefault(folder_of(image.uri), len(numbers)) for image in scored.images]
    cells = np.array(folders, np.int64) * CLASSES + scored.first
    # Add confidences one by one, so that their sum depends on nothing but the order of the rows.
    counts = [
        np.bincount(cells, weights=weights, minlength=len(numbers) * CLASSES).tolist()
        for weights in (None, scored.confidence, scored.accepted, known, right)
    ]
    return tuple(
        Tally(folder, digit, images, confidence, *map(int, others))
        for (folder, digit), (images, confidence, *others) in zip(
            ((folder, digit) for folder in numbers for digit in range(CLASSES)),
            zip(*counts, strict=True),
            strict=True,
        )
        if images
    )


def _kept(scored: ScoredBatch, pixels: LowestRankedPixels) -> tuple[KeptImage, ...]:
    kept = zip(pixels.rows.tolist(), pixels.digits, strict=True)
    return tuple(
        KeptImage(
            confidence=float(scored.confidence[row]),
            image=scored.images[row].uri,
            digit=int(scored.first[row]),
            second_digit=int(scored.second[row]),
            label=scored.images[row].label,
            png=inline_png(digit),
        )
        for row, digit in kept
    )


def _audited(scored: ScoredBatch, draw: AuditDraw) -> AuditSample:
    images = (
        AuditedImage(
            rank=audit_rank(scored.images[row].uri, draw.model),
            image=scored.images[row].uri,
            generation=scored.images[row].generation,
            digit=int(scored.first[row]),
            confidence=float(scored.confidence[row]),
        )
        for row in np.flatnonzero(scored.accepted).tolist()
    )
    return AuditSample(draw.size, tuple(heapq.nsmallest(draw.size, images)))


def _disagreements(scored: ScoredBatch) -> tuple[Disagreement, ...]:
    kept = zip(scored.samples.disagreeing.rows.tolist(), scored.samples.disagreeing.digits, strict=True)
    return tuple(
        Disagreement(
            image=scored.images[row].uri,
            digit=int(scored.first[row]),
            confidence=float(scored.confidence[row]),
            challenger_digit=int(scored.challenger[row]),
            challenger_confidence=float(scored.challenger_confidence[row]),
            label=scored.images[row].label,
            png=inline_png(digit),
        )
        for row, digit in kept
    )
