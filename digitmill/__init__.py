"""digitmill: train digit classifiers, score very large folders of digit images."""
