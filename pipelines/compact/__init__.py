"""`digitmill compact`: merges the outputs of several runs into one, the last answer of each image.

`compact_job` plans the merge, `merging` decides which row of an image is the last one.

`python -m pipelines.compact` runs the command.
"""
