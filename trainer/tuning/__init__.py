"""Searches a recipe's settings: the space that it declares, trials that are pruned early, a study on disk."""
