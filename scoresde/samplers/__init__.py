"""From noise to samples: the generative equation, grids of levels, methods, and the solve."""
