"""What training and scoring must agree on: plain data, no TensorFlow, no Beam, no I/O."""
