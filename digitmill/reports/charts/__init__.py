"""Charts for reports: `drawing` renders lines and words as SVG and PNG, `scales` has the axes.

Each function returns a `chart.Chart`: one drawing as a PNG file and as SVG for the page, its numbers as CSV,
and a sentence on what it shows.
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
