"""The model bundle: which files it has, and what its card says of the model's accuracy and confidence."""
