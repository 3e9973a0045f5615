"""Models and schedulers of diffusers, and weights of other trainers."""
