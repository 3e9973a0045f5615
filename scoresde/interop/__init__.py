"""Models from elsewhere: pipelines and schedulers of diffusers, and weights from other training code."""
