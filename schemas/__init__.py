"""The contracts between training and scoring, as plain data: without I/O, TensorFlow or Beam."""
