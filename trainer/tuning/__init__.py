"""Hyperparameter search: a recipe's search space, trials that are pruned early, a study on disk."""
