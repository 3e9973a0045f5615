"""Diffusion in the latent space of an autoencoder.

autoencoder  the autoencoder, q(z | x) and p(x | z), and the terms of its bound
space        latents scaled to unit variance, and a data set of latents
bound        the bound on log p(x) from a diffusion model of latents
"""

from .autoencoder import Autoencoder, Terms
from .bound import Bound, log_likelihood_bound
from .space import Latents, LatentSpace

__all__ = ["Autoencoder", "Bound", "LatentSpace", "Latents", "Terms", "log_likelihood_bound"]
