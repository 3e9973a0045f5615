"""A multilayer perceptron for points and tables."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from .labels import indices

_WAVES = 1 << 24  # largest number of elements of W


class MLP(nn.Module):
    """F(x, c_noise, labels=None) for x (B, d): SiLU layers on x, its Fourier features, sinusoidal features of the noise
    level, and an embedding of the label.

    With the Fourier features sin(W x), cos(W x), W fixed normals, small layers can fit steep scores: Tancik et al.
    2020, arXiv:2006.10739.

    dim      d
    width, depth  units per hidden layer, and number of hidden layers
    features  number of frequencies for the noise level
    scale    these frequencies fall geometrically from 1 to nearly 1/scale radians per unit of c_noise; 1000 suits
             c_noise in [0, 1000]
    fourier  rows of W; 0: no Fourier features
    detail   length scale that the Fourier features resolve: W has standard deviation 1/(detail sqrt(d))
    classes  number of classes of a class-conditional model, or None
    outputs  outputs for each element of x: 1, or 2 with a learned variance (`LearnedRange`)
    answers  size of the output if it is not like x, for example the logits of a classifier; None: outputs * d"""

    def __init__(
        self,
        dim: int,
        width: int = 128,
        depth: int = 3,
        features: int = 32,
        scale: float = 1000.0,
        fourier: int = 0,
        detail: float = 0.4,
        classes: int | None = None,
        outputs: int = 1,
        answers: int | None = None,
    ):
        super().__init__()

        for name, value in (("dim", dim), ("width", width), ("depth", depth), ("features", features)):
            check.integer(name, value)

        check.number("scale", scale, above=1.0)
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.exp(-math.log(scale) * torch.arange(features) / features))
        check.integer("fourier", fourier, least=0, most=_WAVES // dim)
        check.number("detail", detail, above=0.0)
        self.waves: Tensor
        waves = SeededNoise(0).normal(PRIOR, range(1), (max(1, fourier), dim), torch.float32)[0][:fourier] / (
            detail * dim**0.5
        )
        self.register_buffer("waves", waves.to(self.frequencies))
        self.classes = classes
        self.embedding = None if classes is None else nn.Embedding(check.integer("classes", classes) + 1, 2 * features)
        sizes = [dim + 2 * fourier + 2 * features] + [width] * depth
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
        last = check.integer("outputs", outputs) * dim if answers is None else check.integer("answers", answers)
        self.body = nn.Sequential(*layers, nn.Linear(width, last))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        angle = c_noise.to(self.frequencies.dtype).unsqueeze(-1) * self.frequencies
        features = torch.cat([angle.sin(), angle.cos()], dim=-1).to(x.dtype)

        if self.embedding is not None and self.classes is not None:
            features = features + self.embedding(indices(cond, len(x), self.classes, x.device))

        if len(self.waves):
            phase = x @ self.waves.T
            features = torch.cat([phase.sin(), phase.cos(), features], dim=-1)

        return self.body(torch.cat([x, features], dim=-1))
