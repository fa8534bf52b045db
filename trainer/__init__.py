"""The training job: from labeled images to a model bundle.

`task`, `evaluate`, `tune` and `submit` are the verbs' commands. The sub-packages follow a training: `data`,
`recipes`, `cluster`, `run`, `loop`, `metrics`, `bundle` and `report`; `job` combines them.
"""

__all__ = ["train_options"]
