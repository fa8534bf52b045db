"""Reads and writes TFRecord files of `tf.train.Example` without TensorFlow, for training and scoring.

`resynchronisation` finds the next whole record after a damaged one.
"""
