"""Side-by-side measurements against what users would otherwise run; see `make bench`."""
