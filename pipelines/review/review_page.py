"""The page on which people label images: one self-contained HTML file, opened from disk without network.

Names of images come from strangers. In the page they are data: JSON that cannot end its element, and
text that is never parsed as HTML. The page's policy lets nothing run or load but what it was written
with, whose digests it names.
"""

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from digitmill.reports.charts.palette import stylesheet
from digitmill.reports.html_page import environment, policy
from digitmill.storage.names import readable
from pipelines.history.past_runs import PastRun
from pipelines.review.review_images import Picture, base64_of, png_of, sprite_of
from pipelines.review.review_rows import Doubt
from schemas import labels
from schemas.failure import FailureCode, ImageError
from schemas.prediction import NO_LABEL

COLUMNS: Final = 100
"""Digits in a row of a sprite."""

PER_SPRITE: Final = 5_000
"""Digits in a sprite: 2,800 x 1,400 pixels, less than any browser's limit."""

_TRAINABLE: Final = ("file://", "gs://")
"""What training finds by its path, archives' members apart."""


def render_review(
    run: PastRun,
    doubts: Sequence[Doubt],
    *,
    pictures: Mapping[int, Picture],
    errors: Mapping[int, ImageError],
) -> str:
    """Returns the page's HTML.

    Args:
        run: where the rows are from.
        doubts: the rows, least sure first.
        pictures: of the rows that can be shown, by their place.
        errors: why the others cannot be, by their place.
    """
    script, style = _asset("review.js"), stylesheet() + _asset("review.css")
    return (
        environment("pipelines.review", readable=readable)
        .get_template("review.html")
        .render(
            run=run,
            doubtful=run.manifest.counts.scored - run.manifest.accepted,
            threshold=run.manifest.options.get("accept_threshold"),
            data=_data(run, doubts, pictures),
            sprites=_sprites(pictures),
            failures=[(doubts[place], error) for place, error in sorted(errors.items())],
            meanings={code: code.meaning for code in FailureCode},
            script=script,
            style=style,
            policy=Markup(policy(style, script)),
        )
    )


def _asset(name: str) -> str:
    return (
        importlib.resources.files("pipelines.review").joinpath("templates", name).read_text(encoding="utf-8")
    )


def _data(run: PastRun, doubts: Sequence[Doubt], pictures: Mapping[int, Picture]) -> dict[str, Any]:
    """Returns what the page's script works on; its rows stand in the order of the sprites."""
    return {
        "run": run.digest,
        "columns": labels.COLUMNS,
        "file": labels.FILE,
        "unreadable": labels.UNREADABLE,
        "spriteColumns": COLUMNS,
        "perSprite": PER_SPRITE,
        "rows": [_row(place, doubts[place], picture) for place, picture in sorted(pictures.items())],
    }


def _row(place: int, doubt: Doubt, picture: Picture) -> dict[str, Any]:
    found = doubt.uri == doubt.file.uri and doubt.uri.startswith(_TRAINABLE)
    return {
        # The place among the run's rows: what a browser keeps of a page holds for one with a higher limit.
        "place": place,
        "path": doubt.uri,
        "name": readable(doubt.uri),
        "generation": str(doubt.generation),  # JavaScript's numbers end at 2^53
        "sha256": picture.sha256,
        "predicted": doubt.digit,
        "confidence": doubt.confidence,
        "second": doubt.second_digit,
        "secondConfidence": doubt.second_confidence,
        "known": None if doubt.label == NO_LABEL else doubt.label,
        "pixels": "" if found else base64_of(png_of(picture.digit)),
        "original": base64_of(picture.original),
    }


def _sprites(pictures: Mapping[int, Picture]) -> list[str]:
    digits = [picture.digit for _, picture in sorted(pictures.items())]
    starts = range(0, len(digits), PER_SPRITE)
    return [base64_of(sprite_of(digits[at : at + PER_SPRITE], columns=COLUMNS)) for at in starts]
