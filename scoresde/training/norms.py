"""Penalty functions rho(r) of a residual."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from solvers import check


@dataclass(frozen=True)
class Norm(ABC):
    """Abstract: the penalty rho(r) of the residual r of one element."""

    @abstractmethod
    def __call__(self, residual: Tensor) -> Tensor:
        """rho(residual), elementwise."""


@dataclass(frozen=True)
class Square(Norm):
    """r^2: the minimiser is the conditional mean, hence the score."""

    def __call__(self, residual: Tensor) -> Tensor:
        return residual.square()


@dataclass(frozen=True)
class Absolute(Norm):
    """|r|, the mean absolute error: the minimiser is the conditional median, which is the mean where the posterior is
    symmetric."""

    def __call__(self, residual: Tensor) -> Tensor:
        return residual.abs()


@dataclass(frozen=True)
class Huber(Norm):
    """r^2 up to |r| = delta, delta (2 |r| - delta) beyond, so that the gradient of outliers is bounded.

    Huber 1964, Ann. Math. Statist. 35(1)."""

    delta: float = 1.0

    def __post_init__(self) -> None:
        check.number("delta", self.delta, above=0.0)

    def __call__(self, residual: Tensor) -> Tensor:
        size = residual.abs()
        return torch.where(size <= self.delta, residual.square(), self.delta * (2 * size - self.delta))
