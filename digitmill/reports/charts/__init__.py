"""Charts of both jobs' reports, drawn by matplotlib.

Each function returns a `chart.Chart`: one drawing as PNG for the disk and SVG for the page, its numbers as
CSV, and a sentence on what it shows.
"""

__all__ = [
    "acceptance",
    "chart",
    "curves",
    "differences",
    "distributions",
    "intervals",
    "matrices",
    "palette",
]
