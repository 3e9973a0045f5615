"""The models that can be trained. Each has a network, a process, and `around(network)`, which returns the same model
with another network."""

from __future__ import annotations

from ..denoisers.denoiser import Denoiser
from ..denoisers.noisy_classifier import NoisyClassifier
from ..latent.autoencoder import Autoencoder

Trainable = Denoiser | NoisyClassifier | Autoencoder
