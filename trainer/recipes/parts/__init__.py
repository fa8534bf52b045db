"""Parts of recipes: the `Recipe` type, layers, schedules, augmentation, search spaces, overrides.

A recipe file is made of these and of Keras's own; what only one recipe needs stays in its file.
"""

__all__ = [
    "augmentation",
    "layers",
    "overrides",
    "recipe",
    "schedules",
    "search_space",
]
