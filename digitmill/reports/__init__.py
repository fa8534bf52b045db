"""The building blocks of both jobs' reports, which know neither job.

`html_page` renders one self-contained page from Jinja templates, `charts` draws, `gallery` shows digits,
`numbers` and `csv_table` format, `label_errors` ranks wrong answers,
`failure_words` says what failures mean, `card_text` prints a model card.
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
