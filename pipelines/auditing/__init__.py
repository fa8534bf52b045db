"""`digitmill audit`: estimates how many accepted images are wrong, from labels of a random sample."""
