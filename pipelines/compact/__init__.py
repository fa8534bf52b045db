"""`digitmill compact`: merges the outputs of several runs into one with the latest prediction of each image.

`compact_job` plans the merge; `merging` decides which row of an image is the latest one.

`python -m pipelines.compact` runs the command.
"""
