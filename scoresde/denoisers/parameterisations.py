"""What a network predicts, as coefficients of its input and output.

Both x0 and eps are linear in the denoiser's input x and the network's output F, with scalar coefficients:

    x0 = k_0 x + o_0 F,    eps = k_1 x + o_1 F.

There is one class per parameterisation. No prediction is computed from another by a difference of nearly equal numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from solvers import check

Pair = tuple[Tensor | float, Tensor | float]


class Parameterisation(ABC):
    """Abstract: what a network predicts, as coefficients of x and of its output, for the alpha and sigma of its
    training process. The network gives `outputs` numbers for each number of x."""

    outputs: ClassVar[int] = 1

    @abstractmethod
    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        """(k, o) with x0 = k x + o F.

        Args:
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """

    @abstractmethod
    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        """(k, o) with eps = k x + o F.

        Args:
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """

    @abstractmethod
    def to_input(self, alpha: Tensor, sigma: Tensor) -> Tensor | float:
        """The factor c: the input of the network is c x.

        Args:
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """


class Unscaled(Parameterisation):
    """Abstract: the network gets x itself."""

    def to_input(self, alpha: Tensor, sigma: Tensor) -> Tensor | float:
        return 1.0


@dataclass(frozen=True)
class Eps(Unscaled):
    """The network predicts the noise: F = eps. Ho et al. 2020, arXiv:2006.11239."""

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 1 / alpha, -sigma / alpha

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 0.0, 1.0


@dataclass(frozen=True)
class X0(Unscaled):
    """The network predicts the clean sample: F = x0."""

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 0.0, 1.0

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 1 / sigma, -alpha / sigma


@dataclass(frozen=True)
class V(Unscaled):
    """The network predicts v: F = (alpha eps - sigma x0)/hypot(alpha, sigma). No noise level is singular. Salimans & Ho
    2022, arXiv:2202.00512."""

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        r = (alpha**2 + sigma**2).sqrt()
        return alpha / r**2, -sigma / r

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        r = (alpha**2 + sigma**2).sqrt()
        return sigma / r**2, alpha / r


@dataclass(frozen=True)
class Score(Unscaled):
    """The network predicts the score: F = grad log p(x) = -eps/sigma. Song & Ermon 2019, arXiv:1907.05600."""

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 1 / alpha, sigma**2 / alpha

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 0.0, -sigma


@dataclass(frozen=True)
class KarrasPreconditioning(Parameterisation):
    """EDM's preconditioning: input and target of the network have unit variance, for data of standard deviation s_d.
    With r^2 = alpha^2 s_d^2 + sigma^2,

        x0 = (alpha s_d^2/r^2) x + (sigma s_d/r) F(x/r),    eps = (sigma/r^2) x - (alpha s_d/r) F(x/r).

    sigma_data is s_d. No noise level is singular. Karras et al. 2022, arXiv:2206.00364, table 1."""

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        check.number("sigma_data", self.sigma_data, above=0.0)

    def _r(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return (alpha**2 * self.sigma_data**2 + sigma**2).sqrt()

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        r = self._r(alpha, sigma)
        return alpha * self.sigma_data**2 / r**2, sigma * self.sigma_data / r

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        r = self._r(alpha, sigma)
        return sigma / r**2, -alpha * self.sigma_data / r

    def to_input(self, alpha: Tensor, sigma: Tensor) -> Tensor | float:
        return 1 / self._r(alpha, sigma)


@dataclass(frozen=True)
class LearnedRange(Parameterisation):
    """The network has two outputs for each element of x. The first is that of the parameterisation `mean`. The second,
    s in [-1, 1], interpolates the log variance of a reverse step between beta~ and beta,

        log variance = v log beta + (1 - v) log beta~,    v = (s + 1)/2,    beta~ = beta (1 - abar_{i-1})/(1 - abar_i),

    where s is not clipped. `losses.Hybrid` trains it, and the step wrapper `LearnedVariance` uses it. Nichol & Dhariwal
    2021, arXiv:2102.09672."""

    mean: Parameterisation = Eps()
    outputs: ClassVar[int] = 2

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return self.mean.to_x0(alpha, sigma)

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return self.mean.to_eps(alpha, sigma)

    def to_input(self, alpha: Tensor, sigma: Tensor) -> Tensor | float:
        return self.mean.to_input(alpha, sigma)
