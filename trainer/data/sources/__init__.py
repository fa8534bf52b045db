"""Sources of labelled digits: one module per kind of `--data`, and `source_specs`, which opens them."""
