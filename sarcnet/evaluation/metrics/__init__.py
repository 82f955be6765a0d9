"""What is measured on predictions: discrimination, calibration, net benefit and their intervals."""
