"""Model bundles: exported formats, their checks and measurements, provenance, and networks from bundles."""
