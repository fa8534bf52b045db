"""Hands a training to Vertex AI, Kubernetes or Slurm; what runs there is `python -m trainer.task`."""
