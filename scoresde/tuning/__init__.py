"""Grids that are measured on a model."""
