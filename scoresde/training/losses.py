"""Training losses: frozen dataclasses loss(denoiser, x0, t, eps, cond=None) -> (B,), summed over each sample.

With x = alpha x0 + sigma eps every regression loss is w(t) rho(residual). The residual is the error of the predicted
eps, x0, v or velocity. If rho is the square, all of them are one loss with different weights: an error e of eps is an
error

    x0: -(sigma/alpha) e,    v: (r/alpha) e,  r = hypot(alpha, sigma),    velocity: (1 + sigma/alpha) e,

of the others, and all have the score as their minimiser. The weights and the distribution of noise levels
(`noise_levels`) decide at which levels the network is trained most.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction, require_variance
from ..evaluation import elbo
from ..processes import ddpm
from ..processes.base import Process
from ..processes.coefficients import as_time, like
from ..processes.ddpm import DiscreteVP
from .noised import noised, process_of
from .norms import Norm, Square


@dataclass(frozen=True)
class Loss(ABC):
    """Abstract: loss(denoiser, x0, t, eps, cond=None) -> (B,), for samples x0 (B, ...), times t (B,) or 0-d, and
    standard normals eps (B, ...).

    The process is that of the denoiser. Raises ValueError naming `denoiser` if it has none.

    per_element  True if the loss is a sum over the elements of a sample; `Objective` then divides by their number"""

    per_element: ClassVar[bool] = True

    @abstractmethod
    def __call__(
        self,
        denoiser: BaseDenoiser,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        cond: Any = None,
    ) -> Tensor:
        """One number per sample."""


@dataclass(frozen=True)
class Regression(Loss):
    """Abstract: w(t) sum rho(residual)."""

    norm: Norm = field(default_factory=Square, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.norm, Norm):
            raise TypeError(f"`norm` must be Square(), Absolute() or Huber(), got {self.norm!r}")

    @abstractmethod
    def residual(self, prediction: Prediction, x0: Tensor, eps: Tensor) -> Tensor:
        """The prediction minus the true value, (B, ...).

        Args:
            prediction: the output of the denoiser.
            x0: clean samples, (B, ...).
            eps: standard normals, shaped like the samples.
        """

    @abstractmethod
    def weight(self, process: Process, t: Tensor) -> Tensor:
        """w(t), shaped like t.

        Args:
            process: the process of the denoiser.
            t: times of the process, 0-d or (B,).
        """

    def __call__(
        self,
        denoiser: BaseDenoiser,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        cond: Any = None,
    ) -> Tensor:
        process = process_of(denoiser)
        t = as_time(t)
        x, alpha, sigma = noised(process, x0, t, eps)
        each = self.norm(self.residual(denoiser(x, alpha, sigma, cond), x0, eps)).reshape(len(x0), -1).sum(1)
        return each * like(self.weight(process, t), each)


@dataclass(frozen=True)
class DSM(Regression):
    """||eps_hat - eps||^2 = ||sigma s + eps||^2: denoising score matching weighted by sigma^2, the L_simple of DDPM.

    Vincent 2011, Neural Computation 23(7); Ho et al. 2020, arXiv:2006.11239."""

    def residual(self, prediction: Prediction, x0: Tensor, eps: Tensor) -> Tensor:
        return prediction.eps - eps

    def weight(self, process: Process, t: Tensor) -> Tensor:
        return torch.ones_like(t)


@dataclass(frozen=True)
class MaximumLikelihood(Regression):
    """(t_max - t_min) g^2/(2 sigma^2) ||eps_hat - eps||^2: its mean over uniform t is the diffusion term of the bound
    on -log p, in nats.

    Draw t by `Importance`: with uniform t the weight grows like 1/t near t = 0. Song, Durkan, Murray & Ermon 2021,
    arXiv:2101.09258."""

    def residual(self, prediction: Prediction, x0: Tensor, eps: Tensor) -> Tensor:
        return prediction.eps - eps

    def weight(self, process: Process, t: Tensor) -> Tensor:
        return (process.t_max - process.t_min) * 0.5 * (process.diffusion(t) / process.sigma(t)) ** 2


@dataclass(frozen=True)
class KarrasWeighted(Regression):
    """(s^2 + s_d^2)/(s s_d)^2 ||x0_hat - x0||^2, s = sigma/alpha: unit effective weight under Karras' preconditioning.

    s_d = sigma_data, the data's standard deviation, above 0. Use it with LogNormal noise levels. Karras et al. 2022,
    arXiv:2206.00364."""

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check.number("sigma_data", self.sigma_data, above=0.0)

    def residual(self, prediction: Prediction, x0: Tensor, eps: Tensor) -> Tensor:
        return prediction.x0 - x0

    def weight(self, process: Process, t: Tensor) -> Tensor:
        return self.sigma_data**-2 + torch.exp(2 * process.lam(t))


@dataclass(frozen=True)
class MinSNR(Regression):
    """min(SNR, gamma) ||x0_hat - x0||^2, SNR = alpha^2/sigma^2: DSM with less weight on low noise.

    Hang et al. 2023, arXiv:2303.09556."""

    gamma: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check.number("gamma", self.gamma, above=0.0)

    def residual(self, prediction: Prediction, x0: Tensor, eps: Tensor) -> Tensor:
        return prediction.x0 - x0

    def weight(self, process: Process, t: Tensor) -> Tensor:
        return torch.exp(2 * process.lam(t)).clamp(max=self.gamma)


@dataclass(frozen=True)
class PlainX0(Regression):
    """||x0_hat - x0||^2."""

    def residual(self, prediction: Prediction, x0: Tensor, eps: Tensor) -> Tensor:
        return prediction.x0 - x0

    def weight(self, process: Process, t: Tensor) -> Tensor:
        return torch.ones_like(t)


@dataclass(frozen=True)
class PlainV(Regression):
    """||v_hat - v||^2, v = (alpha eps - sigma x0)/hypot(alpha, sigma). Salimans & Ho 2022, arXiv:2202.00512."""

    def residual(self, prediction: Prediction, x0: Tensor, eps: Tensor) -> Tensor:
        alpha = prediction.alpha
        sigma = prediction.sigma
        r = (alpha**2 + sigma**2).sqrt()
        return prediction.v - (eps * like(alpha / r, eps) - x0 * like(sigma / r, x0))

    def weight(self, process: Process, t: Tensor) -> Tensor:
        return torch.ones_like(t)


@dataclass(frozen=True)
class FlowMatching(Regression):
    """||velocity_hat - (eps - x0)||^2: conditional flow matching along straight paths (RectifiedFlow).

    Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003."""

    def residual(self, prediction: Prediction, x0: Tensor, eps: Tensor) -> Tensor:
        return prediction.velocity - (eps - x0)

    def weight(self, process: Process, t: Tensor) -> Tensor:
        return torch.ones_like(t)


@dataclass(frozen=True)
class ChainBound(Loss):
    """The variational bound of a discrete chain in nats, estimated by one term per sample: L_T + T L_{i-1}, with L_0 at
    i = 1; see `elbo`.

    t gives the level, i = 1 + floor(T (t - t_min)/(t_max - t_min)). With uniform t this is an unbiased estimate of the
    whole bound. Ho et al. 2020, arXiv:2006.11239, eq. 5. Raises TypeError naming `denoiser` if its process is not a
    `ddpm` chain."""

    def __call__(
        self,
        denoiser: BaseDenoiser,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        cond: Any = None,
    ) -> Tensor:
        chain = process_of(denoiser)
        if not isinstance(chain, DiscreteVP):
            raise TypeError(
                f"`denoiser` must be of a ddpm chain, got {chain!r}; for example ddpm.linear(1000), or"
                " ddpm.of(process, 1000)"
            )

        level = _level(chain, t, chain.steps)

        return _bound(chain, level, x0, denoiser(*noised(chain, x0, level / chain.steps, eps), cond))


@dataclass(frozen=True)
class Hybrid(Loss):
    """||eps_hat - eps||^2 + weight * (bound of the chain, with D held fixed): L_hybrid, which trains the variances of
    `LearnedRange`.

    The bound gives gradients to the variances only; its mean over uniform t is in nats (`ChainBound`). If the process
    is a ddpm chain, that chain is used. From any other variance-preserving process the chain has the `steps` levels
    t_max i/steps. t gives the level as in `ChainBound`. Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 16. Raises
    ValueError naming `denoiser` or `process`."""

    weight: float = 0.001
    steps: int = 1000

    def __post_init__(self) -> None:
        check.number("weight", self.weight, above=0.0)
        check.integer("steps", self.steps, least=2)

    def __call__(
        self,
        denoiser: BaseDenoiser,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        cond: Any = None,
    ) -> Tensor:
        process = process_of(denoiser)
        chain = process if isinstance(process, DiscreteVP) else _chain(process, self.steps)
        level = _level(process, t, chain.steps)
        prediction = denoiser(*noised(process, x0, process.t_max * level / chain.steps, eps), cond)
        require_variance(prediction)
        simple = (prediction.eps - eps).reshape(len(x0), -1).square().sum(1)
        return simple + self.weight * _bound(chain, level, x0, replace(prediction, out=prediction.out.detach()))


_chain = functools.lru_cache(maxsize=8)(ddpm.of)


def _level(process: Process, t: Any, steps: int) -> Tensor:
    """1 + floor(steps (t - t_min)/(t_max - t_min)), in 1..steps."""
    return (1 + ((as_time(t) - process.t_min) / (process.t_max - process.t_min) * steps).floor()).clamp(1, steps)


def _bound(
    chain: DiscreteVP,
    level: Tensor,
    x0: Tensor,
    prediction: Prediction,
) -> Tensor:
    """L_T + T L_{i-1} at level i, (B,)."""
    return elbo.prior_term(chain, x0) + chain.steps * elbo.term(chain, level, x0, prediction)
