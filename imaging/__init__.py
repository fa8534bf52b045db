"""From file bytes to the one canonical digit; the same code for training and for scoring."""
