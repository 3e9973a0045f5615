"""How good a model or its samples are: distances, likelihoods, bounds, and the doctor."""
