"""`digitmill audit`: how many of the accepted images are wrong, by people's labels of a random sample."""
