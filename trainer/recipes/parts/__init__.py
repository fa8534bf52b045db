"""Parts of recipes: the `Recipe` type, layers, schedules, augmentation, search spaces, overrides.

Recipe files combine these parts with Keras's. Code for a single recipe stays in its file.
"""

__all__ = [
    "augmentation",
    "layers",
    "overrides",
    "recipe",
    "schedules",
    "search_space",
]
