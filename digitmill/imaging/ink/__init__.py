"""Finds ink: separates it from paper, from lines across it, and from frames and panels around it."""

__all__ = [
    "lines",
    "paper",
    "papers",
    "surroundings",
]
