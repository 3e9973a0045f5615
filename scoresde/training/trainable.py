"""What can be trained: a network with a process, and `around(network)`, the same with another network."""

from __future__ import annotations

from ..denoisers.denoiser import Denoiser
from ..denoisers.noisy_classifier import NoisyClassifier
from ..latent.autoencoder import Autoencoder

Trainable = Denoiser | NoisyClassifier | Autoencoder
