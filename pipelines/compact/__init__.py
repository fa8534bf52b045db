"""`digitmill compact`: merges the outputs of several runs into one, the last answer of each image.

`python -m pipelines.compact` runs the command.
"""
