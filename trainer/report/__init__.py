"""The training report: what a run keeps for it, its page, and several runs compared.

TensorFlow is imported by `measuring` alone, which the training job calls.
"""
