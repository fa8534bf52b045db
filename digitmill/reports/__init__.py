"""Building blocks of reports, independent of the training and scoring jobs.

`html_page` renders one self-contained page from Jinja templates, `charts` draws, `gallery` shows digits,
`numbers` and `csv_table` format, `label_errors` ranks wrong predictions, `failure_words` describes failures,
and `card_text` prints a model card.
"""

__all__ = [
    "card_text",
    "csv_table",
    "failure_words",
    "gallery",
    "html_page",
    "label_errors",
    "numbers",
    "precision_recall",
    "thumbnail",
]
