"""What predicts the clean sample: networks with a parameterisation, exact denoisers, what is known of the data."""
