"""`digitmill score`: its command, the job from options to manifest, the preview, and the Beam transforms.

`python -m pipelines.score` runs the command.
"""
