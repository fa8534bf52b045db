"""The report of a scoring run: page, charts, galleries, drift, class metrics, and rebuilding all of it."""
