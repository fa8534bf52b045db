"""Measures digitmill beside what its users would otherwise run: `make bench`, or `python -m benchmarks`.

`contenders` lists who is measured, `scoring`, `buckets` and `training` run them, `results` keeps the runs,
`tables`, `targets`, `plot` and `page` publish them in docs/benchmarks.md.
"""
