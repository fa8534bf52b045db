"""Sources of labelled digits, one module a kind of source, and the parser of `--data` that finds them."""
