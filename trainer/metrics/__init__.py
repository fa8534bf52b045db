"""How good a trained model is: accuracy, calibration, temperature, and what its confidence is worth."""
