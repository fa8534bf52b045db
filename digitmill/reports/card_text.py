"""Formats a model card as plain text, for the terminal."""

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from schemas.errors import counted
from schemas.model.accuracy import percent
from schemas.model.data_source import DataSource
from schemas.model.model_card import ExportedFormat, ModelCard
from schemas.model.recalibration import Recalibration
from schemas.model.trust import Calibration, Coverage, Guarantee, SourceTrust, Trust

Rows = Sequence[Sequence[str]]

_WIDEST: Final = 160
"""Maximum width of a source's line, in characters; the licenses of many fonts are long."""


def format_card(card: ModelCard) -> str:
    """Return the card as text, in sections that are tables with aligned columns."""
    return "\n\n".join(f"{title}\n{table(rows)}" for title, rows in sections(card).items())


def sections(card: ModelCard) -> dict[str, Rows]:
    """Return the card's content as tables by title; rows of two are a name and its value."""
    found = {
        "Model": _model(card),
        "Accuracy": _accuracy(card),
        **(_recalibration(card.recalibration) if card.recalibration else {}),
        **(_trust(card, card.trust) if card.trust else {}),
        "Formats": _formats(card),
        "Data": _data(card),
        "Made": _made(card),
    }
    return {title: rows for title, rows in found.items() if rows}


def table(rows: Rows) -> str:
    """Return rows as an indented table: the first column aligned left, numbers right."""
    count = max(map(len, rows))
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(count)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    # Rows of two are a name and its value; longer rows are a table of numbers.
    first, *others = row
    if len(widths) == 2:
        return f"  {first:<{widths[0]}}  {others[0]}".rstrip()
    cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=False))
    return "  ".join([f"  {first:<{widths[0]}}", *cells]).rstrip()


def _model(card: ModelCard) -> Rows:
    pace = f", {card.images_per_second:,.0f} images/s" if card.images_per_second else ""
    target = card.trust.target_accuracy if card.trust else None
    reason = f", for {100 * target:g} % right among the accepted" if target is not None else ""
    if card.guarantee is not None:
        reason = f", {promised(card.guarantee)}"
    return [
        ("recipe", card.recipe),
        ("parameters", f"{card.parameters:,}"),
        ("trained on", f"{card.data}, {training_images(card)}"),
        ("epochs", f"{card.epochs}, batches of {card.batch} on {counted(card.replicas, 'replica')}"),
        ("training time", f"{card.train_seconds:,.1f} s{pace}"),
        ("temperature", f"{card.temperature:.3f}"),
        ("accept threshold", f"{card.accept_threshold:.4f}{reason}"),
        ("default on CPUs", card.litert_model),
    ]


def promised(promise: Guarantee) -> str:
    """Return a threshold's guarantee in words, with its probability and number of labeled images."""
    return (
        f"at least {100 * promise.target:g} % of the accepted right, {100 * (1 - promise.delta):g} % sure "
        f"on {promise.images:,} images ({promise.accepted:,} accepted, {promise.wrong:,} wrong)"
    )


def training_images(card: ModelCard) -> str:
    """Return the number of training images as text."""
    digits = f"{sum(card.class_counts):,} images"
    return f"{digits} of digits and {card.not_digits:,} of none" if card.not_digits else digits


def _accuracy(card: ModelCard) -> Rows:
    rows = [("test", str(card.test_accuracy)), ("test loss", f"{card.test_loss:.4f}")]
    return rows + ([("validation", str(card.validation_accuracy))] if card.validation_accuracy else [])


def _recalibration(found: Recalibration) -> dict[str, Rows]:
    return {
        "Calibrated on other images": [
            ("images", f"{found.data}, {found.images:,} of digits and {found.not_digits:,} of none"),
            ("temperature", f"{found.temperature:.3f}, applied after the model"),
            ("expected error", f"{found.after.ece:.4f}, {found.before.ece:.4f} before"),
            ("log loss", f"{found.after.log_loss:.4f}, {found.before.log_loss:.4f} before"),
            ("from bundle", found.bundle),
            ("command", found.command),
        ],
        "Accepted at other thresholds, images that were tested": [
            ("threshold", "accepted", "of them right", "wrong"),
            *((f"{row.threshold:g}", *_shares(row)) for row in found.coverage),
        ],
    }


def _trust(card: ModelCard, worth: Trust) -> dict[str, Rows]:
    images = "validation" if worth.accepted else "test"
    return {
        "Calibration": list(_calibration(worth)),
        "Accepted at the threshold": list(_accepted(worth)),
        f"Accepted at other thresholds, {images} images": [
            ("threshold", "accepted", "of them right", "wrong"),
            *((f"{row.threshold:g}", *_shares(row)) for row in worth.coverage),
        ],
        "Wrongly accepted at the threshold, images labeled unreadable": [
            *([("images", "number", "accepted", "share")] if worth.not_digits else []),
            *(
                (name, f"{row.images:,}", f"{row.accepted:,}", percent(row.share))
                for name, row in worth.not_digits.items()
            ),
        ],
        **{
            f"At the threshold by source, {name} images": source_rows(found)
            for name, found in worth.sources.items()
        },
        "Wrongly accepted at the threshold": [
            ("kind", "images", "found blank", "accepted", "share"),
            *(
                (kind.replace("_", " "), *(f"{n:,}" for n in dataclasses.astuple(row)), percent(row.share))
                for kind, row in worth.unfamiliar.items()
            ),
        ],
    }


def source_rows(sources: Mapping[str, SourceTrust]) -> Rows:
    """Return accuracy and coverage on each source of a mixture, with a header."""
    return [
        ("source", "digits", "right", "accepted", "of them right", "no digit", "of them accepted"),
        *(
            (
                name,
                f"{row.images:,}",
                *map(_share, (row.accuracy, row.coverage, row.accepted_accuracy)),
                f"{row.not_digits.images:,}",
                _share(row.not_digits.share if row.not_digits.images else None),
            )
            for name, row in sources.items()
        ),
    ]


def _share(share: float | None) -> str:
    return "–" if share is None else percent(share)


def _calibration(worth: Trust) -> Iterator[Sequence[str]]:
    yield ("images", "expected error", "Brier score", "log loss")
    measured: Mapping[str, Calibration | None] = {
        "validation, no temperature": worth.uncalibrated,
        "validation": worth.validation,
        "test": worth.test,
    }
    for name, found in measured.items():
        if found is not None:
            yield (name, f"{found.ece:.4f}", f"{found.brier:.4f}", f"{found.log_loss:.4f}")


def _accepted(worth: Trust) -> Iterator[Sequence[str]]:
    yield ("images", "accepted", "of them right", "wrong")
    for name, row in {"validation": worth.accepted, "test": worth.accepted_test}.items():
        if row is not None:
            yield (name, *_shares(row))


def _shares(row: Coverage) -> tuple[str, str, str]:
    return percent(row.coverage), percent(row.accuracy), f"{row.accepted - row.right:,}"


def _formats(card: ModelCard) -> Rows:
    if not card.exports:
        return []
    return [
        ("format", "bytes", "accuracy", "images/s", "differs by"),
        *(_format(row) for row in card.exports),
    ]


def _format(row: ExportedFormat) -> Sequence[str]:
    rate, difference = f"{row.images_per_second:,.0f}", f"{row.difference:.1g}"
    return row.name, f"{row.bytes:,}", percent(row.accuracy.value), rate, difference


def _data(card: ModelCard) -> Rows:
    return [
        (found.source, textwrap.shorten(", ".join(filter(None, _stated(found))), _WIDEST))
        for found in card.data_sources
    ]


def _stated(source: DataSource) -> Sequence[str]:
    return f"{source.images:,} images", source.name, source.license, source.credit


def _made(card: ModelCard) -> Rows:
    stated = {
        "command": card.command,
        "seed": str(card.seed),
        "commit": card.git_commit,
        "data digest": card.data_digest,
        "hardware": ", ".join(f"{name} {value}" for name, value in card.hardware.items() if value != ""),
        "versions": ", ".join(f"{name} {value}" for name, value in card.versions.items()),
    }
    return [(name, value) for name, value in stated.items() if value]
