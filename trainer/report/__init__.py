"""The training report: what a run keeps for it, its page, and the comparison of several runs. No TensorFlow."""
