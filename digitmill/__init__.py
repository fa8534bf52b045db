"""digitmill: train digit classifiers, and score very large folders of digit images.

This package has the command and the library under both jobs, which are `trainer` and `pipelines`. Here is
nothing but this text: importing `digitmill` must cost nothing.
"""
