"""Tables for notebooks: `_repr_html_` of what the API returns."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from digitmill.reports import card_text
from schemas.model.model_card import ModelCard


def html_table(title: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table with its title, everything in it escaped; the first column names what the others say."""
    lines = (
        Markup("<tr><th style='text-align:left'>{}</th>{}</tr>").format(
            first,
            Markup("").join(Markup("<td style='text-align:left'>{}</td>").format(each) for each in others),
        )
        for first, *others in rows
    )
    return str(
        Markup("<table><caption style='text-align:left'><b>{}</b></caption>").format(escape(title))
    ) + ("".join(lines) + "</table>")


def html_card(card: ModelCard) -> str:
    """Return a model's card, as `digitmill card` prints it."""
    return "".join(html_table(title, rows) for title, rows in card_text.sections(card).items())


# A card is plain data; a notebook shows one from the API as a table.
ModelCard._repr_html_ = html_card  # type: ignore[attr-defined]
