"""Labelled digits, from wherever they are: one interface, one file a kind of source."""
