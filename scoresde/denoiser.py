"""A network made into a denoiser D(x; alpha, sigma) = E[x0 | alpha x0 + sigma eps = x].

A denoiser is homogeneous: scaling (x, alpha, sigma) together changes nothing, so that a model trained on one process can be
integrated along any other. Its answer is linear in its input and the network's output F, with scalar coefficients,

    x0 = k_0 x + o_0 F,    eps = k_1 x + o_1 F,

one row of the table per parameterisation: no prediction is ever recovered from another by cancellation.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from solvers import check

from .moments import Moments
from .process import Process
from .reverse import Score as ScoreFunction
from .times import Once, as_time, like, number, per_sample

Pair = tuple[Tensor | float, Tensor | float]


@dataclass(frozen=True)
class Prediction:
    """What a denoiser says of x, lazily: .x0 .eps .score .v .velocity, all shaped like x.

    x0, eps, v and velocity do not change when (x, alpha, sigma) are scaled together; score = -eps/sigma is that of the frame
    of the call; v = (alpha eps - sigma x0)/hypot(alpha, sigma); velocity = eps - x0. Raises ValueError where one is singular.
    spread (`LearnedRange`) says how wide reverse steps are, element by element; None: the network does not."""

    x: Tensor
    out: Tensor
    alpha: Tensor
    sigma: Tensor
    to_x0: Pair
    to_eps: Pair
    spread: Tensor | None = None

    def mix(self, c: Tensor | float, p: Tensor | float, q: Tensor | float) -> Tensor:
        """c x + p x0 + q eps, as one combination of x and the network's output; a plain 0.0 leaves its term out."""
        on_x, on_out = c, 0.0
        for weight, (keep, scale), name in ((p, self.to_x0, "x0"), (q, self.to_eps, "eps")):
            if isinstance(weight, Tensor) or weight != 0.0:
                _check_finite(name, keep, scale)
                on_x, on_out = on_x + weight * keep, on_out + weight * scale
        total = self.out * self._cast(on_out)
        return total if isinstance(on_x, float) and on_x == 0.0 else total + self.x * self._cast(on_x)

    def _cast(self, c: Tensor | float) -> Tensor | float:
        return like(c, self.x) if isinstance(c, Tensor) else c

    @property
    def x0(self) -> Tensor:
        """E[x0 | x]."""
        return self.mix(0.0, 1.0, 0.0)

    @property
    def eps(self) -> Tensor:
        """E[eps | x]."""
        return self.mix(0.0, 0.0, 1.0)

    @property
    def score(self) -> Tensor:
        """grad log p(x)."""
        _check_finite("score", 1 / self.sigma)
        return self.mix(0.0, 0.0, -1 / self.sigma)

    @property
    def v(self) -> Tensor:
        """The angular velocity."""
        r = (self.alpha**2 + self.sigma**2).sqrt()
        return self.mix(0.0, -self.sigma / r, self.alpha / r)

    @property
    def velocity(self) -> Tensor:
        """eps - x0, the velocity of the straight path."""
        return self.mix(0.0, -1.0, 1.0)


def _check_finite(name: str, *coefficients: Tensor | float) -> None:
    for c in coefficients:
        known = not isinstance(c, Tensor) or (c.device.type == "cpu" and not torch.compiler.is_compiling())
        if known and not (bool(c.isfinite().all()) if isinstance(c, Tensor) else math.isfinite(c)):
            raise ValueError(f"`{name}` must not be asked here: it is singular at alpha = 0 or sigma = 0 in this parameterisation; stop short of it, or use V")


class Table(ABC):
    """Abstract: what a network predicts, as coefficients of x and its output in the process' own frame; `outputs` numbers for each of x."""

    outputs: ClassVar[int] = 1

    @abstractmethod
    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        """(k, o) with x0 = k x + o F."""

    @abstractmethod
    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        """(k, o) with eps = k x + o F."""

    @abstractmethod
    def to_input(self, alpha: Tensor, sigma: Tensor) -> Tensor | float:
        """c with F fed c x."""


class Unscaled(Table):
    """Abstract: F is fed x itself."""

    def to_input(self, alpha: Tensor, sigma: Tensor) -> Tensor | float:
        return 1.0


@dataclass(frozen=True)
class Eps(Unscaled):
    """F = eps. Ho et al. 2020, arXiv:2006.11239."""

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 1 / alpha, -sigma / alpha

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 0.0, 1.0


@dataclass(frozen=True)
class X0(Unscaled):
    """F = x0."""

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 0.0, 1.0

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 1 / sigma, -alpha / sigma


@dataclass(frozen=True)
class V(Unscaled):
    """F = (alpha eps - sigma x0)/hypot(alpha, sigma): no singular end. Salimans & Ho 2022, arXiv:2202.00512."""

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        r = (alpha**2 + sigma**2).sqrt()
        return alpha / r**2, -sigma / r

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        r = (alpha**2 + sigma**2).sqrt()
        return sigma / r**2, alpha / r


@dataclass(frozen=True)
class Score(Unscaled):
    """F = grad log p(x) = -eps/sigma. Song & Ermon 2019, arXiv:1907.05600."""

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 1 / alpha, sigma**2 / alpha

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return 0.0, -sigma


@dataclass(frozen=True)
class Karras(Table):
    """F of unit variance in and out, for data of standard deviation s_d: with r^2 = alpha^2 s_d^2 + sigma^2,

        x0 = (alpha s_d^2/r^2) x + (sigma s_d/r) F(x/r),    eps = (sigma/r^2) x - (alpha s_d/r) F(x/r).

    sigma_data is s_d. No singular end. Karras et al. 2022, arXiv:2206.00364, table 1."""

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
class LearnedRange(Table):
    """F = (F of `mean`, s): twice the channels, the second half s from -1 to 1 between the least and largest variance of a reverse step,

        log variance = v log beta + (1 - v) log beta~,    v = (s + 1)/2,    beta~ = beta (1 - abar_{i-1})/(1 - abar_i),

    where s is not clipped. Trained by `losses.Hybrid`, used by `variance.LearnedVariance`. Nichol & Dhariwal 2021, arXiv:2102.09672."""

    mean: Table = Eps()
    outputs: ClassVar[int] = 2

    def to_x0(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return self.mean.to_x0(alpha, sigma)

    def to_eps(self, alpha: Tensor, sigma: Tensor) -> Pair:
        return self.mean.to_eps(alpha, sigma)

    def to_input(self, alpha: Tensor, sigma: Tensor) -> Tensor | float:
        return self.mean.to_input(alpha, sigma)


class BaseDenoiser(nn.Module, ABC):
    """Abstract denoiser: denoiser(x, alpha, sigma, cond=None) -> Prediction; `process` is the one it was trained on, or None.

    moments  mean and standard deviations of its data where they are known, which `recommended` uses; None where not"""

    process: Process | None
    moments: Moments | None = None

    @abstractmethod
    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, cond: Any = None) -> Prediction:
        """Predict from x (B, ...) = alpha x0 + sigma eps; alpha, sigma 0-d, (B,) or (B, 1, ..., 1)."""

    def score(self, process: Process) -> ScoreFunction:
        """The callable (x, t) -> score along `process`."""
        return lambda x, t: self(x, process.alpha(t), process.sigma(t)).score


class Denoiser(BaseDenoiser):
    """A network, the process it was trained on, and what it predicts.

    network   network(x_in, c_noise, cond=None) -> tensor like x_in; c_noise (B,) in float32 or wider
    process   its training process; x is brought into the process' frame at equal lam before it is fed
    table     Eps() (default), X0(), V(), Score(), Karras(), or LearnedRange(one of them): the output then has twice the channels of x_in
    time      lam -> c_noise; default process.time. Sinusoidal embeddings want 1000 * process.time(lam)

    Casts to the network's dtype and back. Raises TypeError or ValueError naming `network` when its output is not like x."""

    process: Process  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self, network: nn.Module | Callable[..., Tensor], process: Process, table: Table | None = None, *, time: Callable[[Tensor], Tensor] | None = None
    ):
        super().__init__()
        if not isinstance(process, Process):
            raise TypeError(f"`process` must be a Process, got {type(process).__name__}; for example VPSDE()")
        if not isinstance(table, Table | None):
            raise TypeError(f"`table` must be Eps(), X0(), V(), Score(), Karras() or LearnedRange(...), got {table!r}")
        check.takes("network", network.forward if isinstance(network, nn.Module) else network, 2, "(x, c_noise, cond=None)")
        self.network = network if isinstance(network, nn.Module) else _Function(network)
        self.process, self.table = process, Eps() if table is None else table  # pyright: ignore[reportIncompatibleVariableOverride]
        self.time = process.time if time is None else time
        self._once = Once(self._coefficients)

    @classmethod
    def from_score(cls, score: ScoreFunction, process: Process) -> Denoiser:
        """Wrap a plain score(x, t) of `process`; t comes as (B, 1, ..., 1) in x's dtype, so that it broadcasts against x.

        A module's weights are the denoiser's own: its dtype, device and mode follow."""
        check.takes("score", score, 2, "(x, t) -> tensor like x")
        return cls(_OfScore(score), process, Score())

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, cond: Any = None) -> Prediction:
        alpha, sigma = as_time(alpha, "alpha"), as_time(sigma, "sigma")
        scale, c_noise, to_x0, to_eps = self._once(alpha, sigma)
        out = self._network(x * (like(scale, x) if isinstance(scale, Tensor) else scale), c_noise, cond)
        out, spread = out.chunk(2, 1) if self.table.outputs == 2 else (out, None)
        return Prediction(x, out, alpha, sigma, to_x0, to_eps, spread)

    def _coefficients(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor | float, Tensor | float, Pair, Pair]:
        """Of x as it is fed, c_noise, and of x0 and eps: numbers where they may be."""
        lam = alpha.log() - sigma.log()
        t = self.process.time(lam)
        own_alpha, own_sigma = self.process.alpha(t), self.process.sigma(t)
        scale = torch.where(alpha > 0, own_alpha / alpha, own_sigma / sigma)
        (k0, o0), (k1, o1) = self.table.to_x0(own_alpha, own_sigma), self.table.to_eps(own_alpha, own_sigma)
        fed = scale * self.table.to_input(own_alpha, own_sigma)
        return number(fed), number(self.time(lam)), (number(k0 * scale), number(o0)), (number(k1 * scale), number(o1))

    def _network(self, x: Tensor, c_noise: Tensor | float, cond: Any) -> Tensor:
        parameter = next(self.network.parameters(), None)
        dtype = x.dtype if parameter is None else parameter.dtype
        wide = dtype if dtype == torch.float64 else torch.float32  # half precision cannot tell neighbouring noise levels apart
        noise = per_sample(c_noise, x.to(wide) if x.dtype != wide else x)
        inputs = (x.to(dtype), noise) if cond is None else (x.to(dtype), noise, cond)
        out: Any = self.network(*inputs)
        if not isinstance(out, Tensor):
            raise TypeError(f"`network` must return a tensor, got {type(out).__name__}; wrap it")
        wanted = (len(x), self.table.outputs * x.shape[1], *x.shape[2:]) if x.dim() > 1 else x.shape
        if out.shape != wanted:
            more = "the shape of its input" if self.table.outputs == 1 else "twice the channels of its input:"
            raise ValueError(f"`network` must return {more} {tuple(wanted)}, got {tuple(out.shape)}; nothing is broadcast")
        return out.to(x.dtype)


class _OfScore(nn.Module):
    """A score in a network's place."""

    def __init__(self, score: ScoreFunction):
        super().__init__()
        self.score = score

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.score(x, t.to(x.dtype).reshape(-1, *[1] * (x.dim() - 1)))


class _Function(nn.Module):
    """A plain function in a network's place."""

    def __init__(self, function: Callable[..., Tensor]):
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Tensor:
        return self.function(*inputs)
