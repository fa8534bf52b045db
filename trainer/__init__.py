"""The training job: from labeled images to a model bundle.

`task`, `evaluate`, `tune` and `submit` are the verbs' commands. The rooms below follow a training: `data`,
`recipes`, `cluster`, `run`, `loop`, `metrics`, `bundle`, `report`, and `job`, which puts them together.
"""

__all__ = ["train_options"]
