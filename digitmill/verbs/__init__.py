"""Verbs of the command that belong to neither job: `card`, `report`, `sample` and `doctor`."""
