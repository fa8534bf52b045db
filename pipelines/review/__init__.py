"""`digitmill review`: a page on which people label the images that the model was least sure about.

The page is one HTML file that contains the images; the labels that it exports are training data.
`python -m pipelines.review` runs the command.
"""
