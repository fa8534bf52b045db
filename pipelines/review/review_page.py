"""The page on which people label images: one self-contained HTML file that needs no network.

Image names are untrusted. The page holds them as JSON that cannot end its element, and as text that is never
parsed as HTML. Its content security policy allows only the script and style that it was written with, by
their digests.
"""

import base64
import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any, Final

from digitmill.reports.gallery import inline_png
from digitmill.reports.html_page import Look, render
from digitmill.storage.names import readable
from pipelines.history.past_runs import PastRun
from pipelines.review.review_images import Picture, make_sprite
from pipelines.review.review_rows import ReviewRow
from pipelines.statistics.audit_sample import audit_rank
from schemas import labels
from schemas.failure import FailureCode, ImageError
from schemas.prediction import NO_LABEL, Reason

COLUMNS: Final = 100
"""Digits in a row of a sprite."""

PER_SPRITE: Final = 5_000
"""Digits in a sprite: 2,800 x 1,400 pixels, less than any browser's limit."""

_TRAINABLE: Final = ("file://", "gs://", "s3://", "az://")
"""Schemes of images whose labels go without pixels, unless they are members of archives."""


def render_review(
    run: PastRun,
    rows: Sequence[ReviewRow],
    *,
    pictures: Mapping[int, Picture],
    errors: Mapping[int, ImageError],
    blind: bool = False,
) -> str:
    """Return the page's HTML for rows; pictures and errors are by their index.

    Rows are shown in their order, or `blind`: so that nothing tells how sure the model was.
    """
    look = Look(
        _asset("review.css"),
        _asset("review_files.js") + _asset("review.js"),
        rules="; require-trusted-types-for 'script'; trusted-types 'none'",
        filters={"readable": readable},
    )
    return render(
        "pipelines.review",
        "review.html",
        look=look,
        run=run,
        doubtful=run.manifest.counts.scored - run.manifest.accepted,
        threshold=run.manifest.options.get("accept_threshold"),
        blind=blind,
        data=_data(run, rows, pictures, blind=blind),
        suspects=sum(row.suspect for row in rows),
        sprites=_sprites(_ordered(rows, pictures, blind=blind)),
        failures=[(rows[place], error) for place, error in sorted(errors.items())],
        meanings={code: code.meaning for code in FailureCode},
    )


def _asset(name: str) -> str:
    return (
        importlib.resources.files("pipelines.review").joinpath("templates", name).read_text(encoding="utf-8")
    )


def _ordered(
    rows: Sequence[ReviewRow], pictures: Mapping[int, Picture], *, blind: bool
) -> list[tuple[int, Picture]]:
    """Return the pictures in the order in which they are shown, with the indices of their rows."""
    return sorted(
        pictures.items(), key=lambda item: (audit_rank(rows[item[0]].uri) if blind else "", item[0])
    )


def _data(
    run: PastRun, rows: Sequence[ReviewRow], pictures: Mapping[int, Picture], *, blind: bool
) -> dict[str, Any]:
    """Return the data of the page's script; its rows are in the order of the sprites."""
    return {
        "run": run.digest,
        "columns": labels.COLUMNS,
        "file": labels.FILE,
        "words": {"u": labels.UNREADABLE, "x": labels.NO_DIGIT, "t": labels.TWO_DIGITS},
        "spriteColumns": COLUMNS,
        "perSprite": PER_SPRITE,
        "blind": blind,
        "rows": [
            _row(place, rows[place], picture) for place, picture in _ordered(rows, pictures, blind=blind)
        ],
    }


def _row(place: int, row: ReviewRow, picture: Picture) -> dict[str, Any]:
    found = row.uri == row.file.uri and row.uri.startswith(_TRAINABLE)
    return {
        # The index among the run's rows, so that a browser's saved labels stay valid with a higher limit.
        "place": row.place if row.suspect else place,
        "path": row.uri,
        "name": readable(row.uri),
        "generation": str(row.generation),  # JavaScript numbers are exact only up to 2^53
        "sha256": picture.sha256,
        "predicted": row.digit,
        "confidence": row.confidence,
        "second": row.second_digit,
        "secondConfidence": row.second_confidence,
        "known": None if row.label == NO_LABEL else row.label,
        "suspect": row.suspect,
        "noDigit": row.reason == Reason.NOT_A_DIGIT,
        "pixels": "" if found else inline_png(picture.digit),
        "original": base64.b64encode(picture.original).decode(),
    }


def _sprites(pictures: Sequence[tuple[int, Picture]]) -> list[str]:
    digits = [picture.digit for _, picture in pictures]
    starts = range(0, len(digits), PER_SPRITE)
    return [make_sprite(digits[at : at + PER_SPRITE], columns=COLUMNS) for at in starts]
