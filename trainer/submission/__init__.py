"""Hands a training to Vertex AI, Kubernetes or Slurm; what runs there is `python -m trainer.task`.

A `request` is the same for all; each kind of cluster has a module that writes it in the cluster's own form,
and `package` stages the code that its machines install.
"""

__all__ = [
    "cluster_options",
    "kubernetes",
    "package",
    "request",
    "slurm",
    "vertex",
]
