"""Charts of both jobs' reports: `drawing` makes SVG and PNG of lines and words, `scales` has the axes.

Each function returns a `chart.Chart`: one drawing as PNG for the disk and SVG for the page, its numbers as
CSV, and a sentence on what it shows.
"""

__all__ = [
    "acceptance",
    "chart",
    "curves",
    "differences",
    "distributions",
    "drawing",
    "intervals",
    "matrices",
    "palette",
]
