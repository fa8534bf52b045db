"""Tables for notebooks: `_repr_html_` of objects that the API returns."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from digitmill.reports import card_text
from schemas.model.model_card import ModelCard


def html_table(title: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a title, all texts escaped; the first column has the row names."""
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
    """Return a model's card with the content of `digitmill card`."""
    return "".join(html_table(title, rows) for title, rows in card_text.sections(card).items())


# `ModelCard` is plain data, so add the notebook view here.
ModelCard._repr_html_ = html_card  # type: ignore[attr-defined]
