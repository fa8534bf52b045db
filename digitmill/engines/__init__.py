"""Opens a model bundle and runs its model; the same code for scoring and for measuring what was trained."""
