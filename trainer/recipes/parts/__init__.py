"""Parts of recipes: the `Recipe` type, layers, schedules, augmentation, search spaces, overrides."""
