"""The page on which people label images: one self-contained HTML file that needs no network.

Image names are untrusted. The page embeds them as JSON that cannot close its element, and shows them as text
that is never parsed as HTML. Its content security policy allows only its own script and style, by digest.
"""

import base64
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any, Final

from digitmill.reports.gallery import inline_png
from digitmill.reports.html_page import Look, render
from digitmill.storage.names import readable
from pipelines.history.past_runs import PastRun
from pipelines.review.review_fields import ReviewField
from pipelines.review.review_images import Picture, make_sprite
from pipelines.review.review_rows import ReviewRow
from schemas import labels
from schemas.failure import FailureCode, ImageError
from schemas.prediction import NO_LABEL, Reason

COLUMNS: Final = 100
"""Digits per row of a sprite."""

PER_SPRITE: Final = 5_000
"""Digits per sprite: 2,800 x 1,400 pixels, below every browser's limit."""

_BLIND_KEY: Final = b"digitmill review"
"""Key of the hashes that order a blind page. By those that draw the audit sample, it would come first."""

_TRAINABLE: Final = ("file://", "gs://", "s3://", "az://")
"""Schemes of images whose labels need no pixels, except members of archives."""


def render_review(
    run: PastRun,
    rows: Sequence[ReviewRow],
    *,
    pictures: Mapping[int, Picture],
    errors: Mapping[int, ImageError],
    fields: Sequence[ReviewField] = (),
    blind: bool = False,
) -> str:
    """Return the page's HTML for rows; `pictures` and `errors` are by row index.

    Rows are shown in order, with the rows of a field together at its first row. If `blind`, neither order nor
    content reveals how sure the model was.
    """
    ordered = _ordered(rows, pictures, fields, blind=blind)
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
        data=_data(run, rows, ordered, fields, blind=blind),
        suspects=sum(row.suspect for row in rows),
        members=sum(row.member for row in rows),
        sprites=_sprites([picture for _, picture in ordered]),
        failures=[(rows[place], error) for place, error in sorted(errors.items())],
        meanings={code: code.meaning for code in FailureCode},
    )


def _asset(name: str) -> str:
    return (
        importlib.resources.files("pipelines.review").joinpath("templates", name).read_text(encoding="utf-8")
    )


def _ordered(
    rows: Sequence[ReviewRow],
    pictures: Mapping[int, Picture],
    fields: Sequence[ReviewField],
    *,
    blind: bool,
) -> list[tuple[int, Picture]]:
    """Return row indices and pictures in the order of the page."""
    if blind:
        return sorted(pictures.items(), key=lambda item: (_blind_rank(rows[item[0]].uri), item[0]))
    numbers = {row.uri: number for number, row in enumerate(rows)}
    keys: dict[int, tuple[int, int]] = {}
    for field in fields:
        inside = [numbers[image] for image in field.images if image in numbers]
        keys |= {number: (min(inside), place) for place, number in enumerate(inside)}
    return sorted(pictures.items(), key=lambda item: keys.get(item[0], (item[0], 0)))


def _blind_rank(uri: str) -> bytes:
    return hashlib.blake2b(uri.encode(errors="surrogatepass"), digest_size=8, key=_BLIND_KEY).digest()


def _data(
    run: PastRun,
    rows: Sequence[ReviewRow],
    ordered: Sequence[tuple[int, Picture]],
    fields: Sequence[ReviewField],
    *,
    blind: bool,
) -> dict[str, Any]:
    """Return the data for the page's script, with rows in the order of the sprites."""
    field_of = {image: number for number, field in enumerate(fields) for image in field.images}
    return {
        "run": run.digest,
        "columns": labels.COLUMNS,
        "file": labels.FILE,
        "words": {"u": labels.UNREADABLE, "x": labels.NO_DIGIT, "t": labels.TWO_DIGITS},
        "spriteColumns": COLUMNS,
        "perSprite": PER_SPRITE,
        "blind": blind,
        "fields": [
            {"name": readable(field.name), "value": field.value, "why": field.why} for field in fields
        ],
        "rows": [
            _row(place, rows[place], picture, field=field_of.get(rows[place].uri, -1))
            for place, picture in ordered
        ],
    }


def _row(index: int, row: ReviewRow, picture: Picture, *, field: int) -> dict[str, Any]:
    found = row.uri == row.file.uri and row.uri.startswith(_TRAINABLE)
    return {
        "place": _place(index, row, in_field=field >= 0),
        "field": field,
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


def _place(index: int, row: ReviewRow, *, in_field: bool) -> int | str:
    """Return the key under which the browser stores a row's label; it does not depend on the limit.

    The key is the index among the run's rows. Whether a digit of a field has an index depends on the limit,
    so its key is a digest of its URI.
    """
    if row.suspect:
        return row.place
    return hashlib.sha256(row.uri.encode("utf-8", "surrogateescape")).hexdigest()[:16] if in_field else index


def _sprites(pictures: Sequence[Picture]) -> list[str]:
    digits = [picture.digit for picture in pictures]
    starts = range(0, len(digits), PER_SPRITE)
    return [make_sprite(digits[at : at + PER_SPRITE], columns=COLUMNS) for at in starts]
