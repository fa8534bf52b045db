"""`digitmill review`: a page on which people label the images of which the model was least sure.

The page is one HTML file with the images inside; the labels that it exports are training data.
`python -m pipelines.review` runs the command.
"""
