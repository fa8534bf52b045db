"""`digitmill review`: a page on which people label the images that the model was least sure of.

`python -m pipelines.review` runs the command.
"""
