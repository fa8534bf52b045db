"""What is asked of a finished run: gates on its figures, and audits of what it accepted."""

__all__ = [
    "audit",
    "gates",
]
