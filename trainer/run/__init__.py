"""The run folder, local or in a bucket: checkpoints, history, and where each file goes."""
