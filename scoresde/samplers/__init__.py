"""From noise to samples: the generative equation, grids of noise levels, methods, and the solve."""
