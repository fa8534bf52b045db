"""Writes the model bundle in all its formats, records its provenance, loads weights of earlier bundles."""
