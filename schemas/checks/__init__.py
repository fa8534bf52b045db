"""Checks of a finished run: gates on its figures, and audits of the images it accepted."""

__all__ = [
    "audit",
    "gates",
]
