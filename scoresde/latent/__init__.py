"""Diffusion in the latent space of an autoencoder.

autoencoder  q(z | x) and p(x | z), and the terms of their bound
space        latents of unit variance, and data as latents
bound        the bound on log p(x) by a model of latents
"""

from .autoencoder import Autoencoder, Terms
from .bound import Bound, log_likelihood_bound
from .space import Latents, LatentSpace

__all__ = ["Autoencoder", "Bound", "LatentSpace", "Latents", "Terms", "log_likelihood_bound"]
