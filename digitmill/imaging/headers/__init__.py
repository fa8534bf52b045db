"""Reads the header of an image file before anything is decoded: kind, size, whether it is whole and plain."""

__all__ = [
    "header",
    "image_kinds",
    "jpeg",
    "png",
]
