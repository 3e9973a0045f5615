"""Discrete DDPM: a chain of T noise levels, its posterior, and its conversion to and from the VP-SDE.

    q(x_i | x_{i-1}) = N(sqrt(1 - beta_i) x_{i-1}, beta_i),   abar_i = prod_{j <= i} (1 - beta_j),   i = 1..T.

`DiscreteVP` is the chain as a continuous process, so that every solver runs on it. It is exact at t = i/T; between two
levels log abar is linear. `linear(1000)` is the chain of Ho et al. 2020 (arXiv:2006.11239); it approximates VPSDE(0.1,
20) to O(1/T).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import check

from .base import Process, Rates, TowardNoise
from .coefficients import as_time


@dataclass(frozen=True)
class DiscreteVP(TowardNoise):
    """A chain of noise levels as a continuous variance-preserving process. `log_abar` holds log abar_1 .. log abar_T,
    falling.

    t runs over [1/T, 1]; t = i/T is level i. Below 1/T the first beta is continued to t = 0. The last level may be
    -inf, where there is no signal. Then alpha falls linearly over the last interval, and lam(1) = -inf. A probability
    flow can begin there (`Split.FLOW` along this process or RectifiedFlow); an SDE cannot."""

    log_abar: tuple[float, ...]
    name: str = "user"

    def __post_init__(self) -> None:
        levels = torch.tensor((0.0, *self.log_abar), dtype=torch.float64, device="cpu")
        if len(levels) < 3 or not bool(torch.isfinite(levels[:-1]).all()) or not bool((levels.diff() < 0).all()):
            raise ValueError(
                "`log_abar` must hold two numbers or more, finite but for the last, strictly falling below 0;"
                " every beta must lie in (0, 1)"
            )
        object.__setattr__(self, "_levels", -levels)

    def __repr__(self) -> str:
        return f"ddpm.{self.name}({self.steps})"

    @property
    def steps(self) -> int:
        """T."""
        return len(self.log_abar)

    @property
    def t_min(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """1/T, the first level."""
        return 1 / self.steps

    @property
    def t_max(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """1, the last level."""
        return 1.0

    @property
    def betas(self) -> Tensor:
        """beta_1 .. beta_T, float64."""
        return -torch.expm1(-self._table.diff())

    @property
    def _table(self) -> Tensor:
        return self.__dict__["_levels"]

    def _place(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The interval that holds t: -log abar at its start, its increase over the interval (0 where that is infinite),
        the position of t in it from 0 to 1, and whether the increase is infinite."""

        table = self._table.to(t.device)
        at = t.to(torch.float64) * self.steps
        i = at.detach().clamp(0, self.steps - 1e-9).floor().long()
        rise = table[i + 1] - table[i]
        endless = rise.isinf()

        return table[i], rise.masked_fill(endless, 0.0), at - i, endless

    def log_alpha(self, t: Any) -> Tensor:
        t = as_time(t)
        start, rise, part, endless = self._place(t)
        fall = torch.log1p(-part.masked_fill(~endless, 0.0).clamp(max=1.0))
        return (-0.5 * (start + part * rise) + fall).to(t.dtype)

    def log_sigma(self, t: Any) -> Tensor:
        return 0.5 * torch.log(-torch.expm1(2 * self.log_alpha(t)))

    def alpha_rate(self, t: Any) -> Tensor:
        t = as_time(t)
        start, rise, _, endless = self._place(t)
        return torch.where(endless, -torch.exp(-0.5 * start), -0.5 * rise * self.alpha(t)).to(t.dtype) * self.steps

    def variance_rate(self, t: Any) -> Tensor:
        return -2 * self.alpha(t) * self.alpha_rate(t)

    def time(self, lam: Any) -> Tensor:
        lam = as_time(lam, "lam")
        b = torch.nn.functional.softplus(-2 * lam.to(torch.float64), threshold=1e3)
        table = self._table.to(lam.device)
        i = (torch.searchsorted(table, b.contiguous()) - 1).clamp(0, self.steps - 1)
        rest = b - table[i]
        rise = table[i + 1] - table[i]
        return ((i + torch.where(rise.isinf(), -torch.expm1(-0.5 * rest), rest / rise)) / self.steps).to(lam.dtype)

    def constant_rates(self) -> Rates:
        return None, None


def chain(betas: Tensor, name: str = "user") -> DiscreteVP:
    """The process of a chain with given beta_1 .. beta_T, each in (0, 1). The last may be 1: then no signal is left.

    Args:
        betas: beta_1 .. beta_T, 1-D.
        name: name in the repr.
    """
    betas = check.floating("betas", betas).to("cpu", torch.float64)
    if betas.dim() != 1 or len(betas) < 2 or not bool(((betas > 0) & (betas < 1))[:-1].all()) or not 0 < betas[-1] <= 1:
        raise ValueError(
            f"`betas` must be a 1-D tensor of two or more numbers in (0, 1), got shape {tuple(betas.shape)}:"
            f" {betas.flatten()[:5].tolist()}"
        )

    return DiscreteVP(tuple(torch.log1p(-betas).cumsum(0).tolist()), name)


def linear(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> DiscreteVP:
    """The linear chain of DDPM: beta rises from 1e-4 to 0.02 at T = 1000. Other T scale both by 1000/T. Ho et al. 2020,
    arXiv:2006.11239.

    Args:
        steps: T, at least 2.
        first: beta_1 at T = 1000.
        last: beta_T at T = 1000.
    """
    check.integer("steps", steps, least=2)
    scale = 1000 / steps
    return chain(torch.linspace(first * scale, last * scale, steps, dtype=torch.float64, device="cpu"), "linear")


def scaled_linear(steps: int = 1000, first: float = 0.00085, last: float = 0.012) -> DiscreteVP:
    """The chain of latent diffusion: sqrt(beta) is linear in the level. Rombach et al. 2022, arXiv:2112.10752.

    Args:
        steps: T, at least 2.
        first: beta_1.
        last: beta_T.
    """
    check.integer("steps", steps, least=2)
    return chain(torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64, device="cpu") ** 2, "scaled_linear")


def cosine(steps: int = 1000, s: float = 0.008, most: float = 0.999) -> DiscreteVP:
    """The cosine chain: abar is the offset cosine, betas are capped at `most`. Nichol & Dhariwal 2021,
    arXiv:2102.09672.

    Args:
        steps: T, at least 2.
        s: the offset of the cosine.
        most: largest beta.
    """
    check.integer("steps", steps, least=2)
    u = (torch.arange(steps + 1, dtype=torch.float64, device="cpu") / steps + s) / (1 + s) * math.pi / 2
    abar = u.cos() ** 2
    return chain((1 - abar[1:] / abar[:-1]).clamp(max=most), "cosine")


def sigmoid(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> DiscreteVP:
    """The sigmoid chain: beta follows a logistic curve over [-6, 6]. Xu et al. 2022, GeoDiff, arXiv:2203.02923.

    Args:
        steps: T, at least 2.
        first: beta_1.
        last: beta_T.
    """
    check.integer("steps", steps, least=2)
    return chain(
        torch.linspace(-6, 6, steps, dtype=torch.float64, device="cpu").sigmoid() * (last - first) + first, "sigmoid"
    )


def zero_terminal_snr(chain: DiscreteVP) -> DiscreteVP:
    """The chain without signal at the last level: sqrt(abar) is shifted to 0 at level T, and scaled so that it keeps
    its value at level 1. Lin et al. 2023, arXiv:2305.08891, algorithm 1.

    At t = 1 alpha is 0, so x0 cannot be computed from eps there. The network must predict V or X0. The method must have
    eta 0 and `Split.FLOW` along the chain or RectifiedFlow. Raises TypeError or ValueError naming `chain`."""

    if not isinstance(chain, DiscreteVP):
        raise TypeError(f"`chain` must be a ddpm chain, got {chain!r}; for example ddpm.linear(1000)")

    root = torch.tensor(chain.log_abar, dtype=torch.float64, device="cpu").div(2).exp()
    if chain.steps < 3 or root[-1] == 0:
        raise ValueError(f"`chain` must have three levels or more and signal at the last, got {chain!r}")

    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))

    return DiscreteVP((chain.log_abar[0], *(2 * root[1:].log()).tolist()), f"zero_terminal_snr_{chain.name}")


def of(process: Process, steps: int) -> DiscreteVP:
    """The chain of a variance-preserving process: level i is the process at time t_max i/T.

    Args:
        process: the variance-preserving process.
        steps: T, the number of levels.
    """
    check.integer("steps", steps, least=2)

    if not isinstance(process, Process) or not bool(
        (process.alpha(process.t_max) ** 2 + process.sigma(process.t_max) ** 2 - 1).abs() < 1e-9
    ):
        raise ValueError(f"`process` must be variance-preserving to have a chain, got {process!r}; for example VPSDE()")

    t = process.t_max * torch.arange(1, steps + 1, dtype=torch.float64, device="cpu") / steps

    return DiscreteVP(tuple((2 * process.log_alpha(t)).tolist()), f"of_{type(process).__name__}")


def posterior(process: DiscreteVP, i: int) -> tuple[float, float, float]:
    """Coefficients (c_0, c_x, variance) of DDPM's posterior q(x_{i-1} | x_i, x_0) = N(c_0 x_0 + c_x x_i, variance), i
    in 2..T.

    c_0 = sqrt(abar_{i-1}) beta_i/(1 - abar_i), c_x = sqrt(1 - beta_i)(1 - abar_{i-1})/(1 - abar_i), variance = beta_i
    (1 - abar_{i-1})/(1 - abar_i). This variance is the "small" one; the "large" one is beta_i. Ho et al. 2020, eq. 7.

    Args:
        process: the chain.
        i: the level, from 2 to T.
    """

    check.integer("i", i, least=2, most=process.steps)
    before = process.log_abar[i - 2]
    now = process.log_abar[i - 1]
    beta = -math.expm1(now - before)
    rest = -math.expm1(now)
    rest_before = -math.expm1(before)

    return math.exp(before / 2) * beta / rest, math.sqrt(1 - beta) * rest_before / rest, beta * rest_before / rest


def log_variances(process: DiscreteVP, i: int) -> tuple[float, float]:
    """Logarithms of the "small" and "large" variance of step i in 1..T: (log beta~, log beta). A learned variance lies
    between them.

    beta~_1 = 0 is replaced by beta~_2. Nichol & Dhariwal 2021, arXiv:2102.09672, section 3.1.

    Args:
        process: the chain.
        i: the level, from 1 to T.
    """
    _, _, small = posterior(process, max(i, 2))
    before = process.log_abar[i - 2] if i > 1 else 0.0
    return math.log(small), math.log(-math.expm1(process.log_abar[i - 1] - before))
