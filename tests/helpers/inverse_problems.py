"""A Gaussian prior and a measurement of it, whose posterior is known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scoresde import VPSDE, exact, inverse
from tests.helpers.problems import F64

A = torch.tensor([[1, 0.5, -0.2], [0, 1, 1]], dtype=F64)
Y = torch.tensor([0.9, -0.4], dtype=F64)
COVARIANCE = torch.tensor([[0.6, 0.2, 0], [0.2, 0.4, 0.1], [0, 0.1, 0.3]], dtype=F64)
PRIOR = exact.Gaussian(torch.tensor([0.5, -1, 0.2], dtype=F64), COVARIANCE, VPSDE())
MEASURED = inverse.Measurement(inverse.Matrix(A), Y, 0.3)
LINEAR_FUNCTION = inverse.Measurement(inverse.Function(lambda x: x @ A.T), Y, 0.3)


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def measured(**changes: Any) -> inverse.Measurement:
    return inverse.Measurement(**{"operator": inverse.Matrix(A), "y": Y, "std": 0.3, **changes})
