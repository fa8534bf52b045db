"""Evaluates audits of one or several runs: errors among accepted images, and whether a guarantee holds."""

from collections.abc import Sequence

from digitmill.confidence.exact_bounds import exact_interval, weighted_interval
from schemas.checks.audit import Audit, Verdict
from schemas.model.trust import DELTA


def judge_audit(
    *,
    run: str,
    target: float | None,
    labeled: int,
    wrong: int,
    promise: str = "",
    looks: int = 1,
    **counts: int,
) -> Audit:
    """Return the audit of a run from its numbers of labeled and wrong images.

    Args:
        run: SHA-256 of the run's manifest.
        target: see `Audit`.
        labeled: see `Audit`.
        wrong: see `Audit`.
        promise: see `Audit`.
        looks: number of runs judged together: so many chances to find one promise broken by accident.
        counts: the other fields.
    """
    interval = exact_interval(wrong, labeled, 0.05)
    return Audit(
        run=run,
        labeled=labeled,
        wrong=wrong,
        error_rate=wrong / labeled if labeled else None,
        interval_95=interval,
        target=target,
        verdict=_verdict(target, exact_interval(wrong, labeled, 2 * DELTA / looks)),
        promise=promise,
        **counts,
    )


def sum_audits(audits: Sequence[Audit]) -> Audit:
    """Return the combined audit of runs that accepted different images.

    Each run's error rate is weighted by its number of accepted images, because runs of different sizes have
    samples of the same size. The interval allows that images accepted by runs without labels are all right
    or all wrong.
    """
    if len(audits) == 1:
        return audits[0]
    accepted = sum(each.accepted for each in audits)
    known = [each for each in audits if each.labeled]
    weights = [each.accepted / accepted / each.labeled for each in known]
    rate = sum(weight * each.wrong for weight, each in zip(weights, known, strict=True))
    unknown = 1 - sum(each.accepted for each in known) / accepted if accepted else 1.0

    def interval(delta: float) -> tuple[float, float]:
        # Of weights that add up to less than 1, the bounds are those of the part.
        low, high = weighted_interval(rate, max(weights), delta) if weights else (0.0, 0.0)
        return low, min(1.0, high + unknown)

    promises = {(each.target, each.promise) for each in audits}
    target, promise = promises.pop() if len(promises) == 1 else (None, "")
    names = ("accepted", "sampled", "labeled", "wrong", "not_digits")
    return Audit(
        run="",
        error_rate=rate if all(each.labeled or not each.accepted for each in audits) else None,
        interval_95=interval(0.05),
        target=target,
        verdict=_verdict(target, interval(2 * DELTA)),
        promise=promise,
        **{name: sum(getattr(each, name) for each in audits) for name in names},
    )


def _verdict(target: float | None, interval: tuple[float, float]) -> Verdict:
    """Return what an interval says, each side of which fails with probability `DELTA`, as the promise may."""
    if target is None:
        return Verdict.NO_PROMISE
    low, high = interval
    if low > 1 - target:
        return Verdict.BROKEN
    return Verdict.KEPT if high <= 1 - target else Verdict.UNDECIDED
