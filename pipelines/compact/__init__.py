"""`digitmill compact`: merges the outputs of several runs into their present state.

`python -m pipelines.compact` runs the command.
"""
