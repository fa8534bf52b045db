"""`digitmill score`: its command, the job from options to manifest, the preview, and the Beam transforms.

`score_start` starts a run, for the command and for Python. `score_job` is the run from top to bottom;
`run_listing` is the first step of its pipeline, `transforms` has the others.

`python -m pipelines.score` runs the command.
"""

__all__ = [
    "score_command",
    "score_start",
]
