"""Denoisers: networks with a parameterisation, exact denoisers, and moments of the data."""
