"""Denoisers D(x; alpha, sigma) = E[x0 | alpha x0 + sigma eps = x], made from networks.

A denoiser is homogeneous: if x, alpha and sigma are multiplied by the same number, its answer does not change. So a
model trained on one process can be integrated along any other. The module `parameterisations` defines what a network
may predict.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from solvers import check

from ..processes.base import Process, ScoreFunction, ScoreModel
from ..processes.coefficients import CachedCoefficients, as_number, as_time, like, per_sample
from .moments import Moments
from .parameterisations import X0 as X0
from .parameterisations import Eps as Eps
from .parameterisations import KarrasPreconditioning as KarrasPreconditioning
from .parameterisations import LearnedRange as LearnedRange
from .parameterisations import Pair
from .parameterisations import Parameterisation as Parameterisation
from .parameterisations import Score as Score
from .parameterisations import Unscaled as Unscaled
from .parameterisations import V as V
from .prediction import Prediction

_FLOATING = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


class BaseDenoiser(ScoreModel, ABC):
    """Abstract denoiser: denoiser(x, alpha, sigma, cond=None) -> Prediction. `process` is its training process, or
    None.

    moments  mean and standard deviations of its data, which `recommended` uses; None if they are not known"""

    process: Process | None
    moments: Moments | None = None

    @abstractmethod
    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        """The prediction for x = alpha x0 + sigma eps. alpha and sigma are 0-d, (B,) or (B, 1, ..., 1).

        Args:
            x: states or samples, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
            cond: condition of each sample, or None (`denoisers.conditions`).
        """

    def score(self, process: Process) -> ScoreFunction:
        """The callable (x, t) -> score along `process`."""
        return lambda x, t: self(x, process.alpha(t), process.sigma(t)).score


class Denoiser(BaseDenoiser):
    """A denoiser made from a network, its training process, and what the network predicts.

    network   network(x_in, c_noise, cond=None) -> tensor like x_in; c_noise (B,) in float32 or wider
    process   its training process; x is scaled to the alpha and sigma of this process at the same lam for the network
    table     what it predicts: Eps() (default), X0(), V(), Score(), KarrasPreconditioning(), or LearnedRange(one of
              them), whose output has twice the channels of x_in
    time      lam -> c_noise; default process.time. For sinusoidal embeddings use 1000 * process.time(lam)

    x is cast to the dtype of the network's floating weights, and the answer is cast back. process, table and time
    cannot be changed later, because coefficients are computed from them once. Raises TypeError or ValueError naming
    `network` if its output is not like x, or `cond` if the network takes none, or if it needs one and none is given."""

    process: Process  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        network: nn.Module | Callable[..., Tensor],
        process: Process,
        table: Parameterisation | None = None,
        *,
        time: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__()

        if not isinstance(process, Process):
            raise TypeError(f"`process` must be a Process, got {type(process).__name__}; for example VPSDE()")
        if not isinstance(table, Parameterisation | None):
            known = "Eps(), X0(), V(), Score(), KarrasPreconditioning() or LearnedRange(...)"
            raise TypeError(f"`table` must be {known}, got {table!r}")

        called = network.forward if isinstance(network, nn.Module) else network
        self._takes_cond = _accepts(called, 3)
        self._wants_cond = not _accepts(called, 2)
        if self._wants_cond and not self._takes_cond:
            check.takes("network", called, 2, "(x, c_noise, cond=None)")

        self.network = network if isinstance(network, nn.Module) else _Function(network)
        self.process = process  # pyright: ignore[reportIncompatibleVariableOverride]
        self.table = Eps() if table is None else table
        self.time = process.time if time is None else time
        self._once = CachedCoefficients(self._coefficients)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("process", "table", "time") and name in self.__dict__:
            raise AttributeError(
                f"`{name}` of a Denoiser cannot be set; make another: Denoiser(denoiser.network, process, table,"
                " time=time)"
            )
        super().__setattr__(name, value)

    @classmethod
    def from_score(cls, score: ScoreFunction, process: Process) -> Denoiser:
        """A denoiser from a plain score(x, t) of `process`. t is passed as (B, 1, ..., 1) in x's dtype, so that it
        broadcasts against x.

        If the score is a module, its weights become those of the denoiser: `to`, `train` and `eval` apply to it.

        Args:
            score: a function (x, t) -> score, not a denoiser.
            process: the process to which x and t belong.
        """
        check.takes("score", score, 2, "(x, t) -> tensor like x")
        return cls(_OfScore(score), process, Score())

    def around(self, network: nn.Module) -> Denoiser:
        """The same denoiser with another network, such as a compiled one or one with averaged weights.

        Args:
            network: network with the same arguments and output as the present one.
        """
        return Denoiser(network, self.process, self.table, time=self.time)

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        scale, c_noise, to_x0, to_eps = self._once(alpha, sigma)
        out = self._network(x * (like(scale, x) if isinstance(scale, Tensor) else scale), c_noise, cond)
        out, spread = out.chunk(2, 1) if self.table.outputs == 2 else (out, None)
        return Prediction(
            x,
            out,
            alpha,
            sigma,
            to_x0,
            to_eps,
            spread,
        )

    def _coefficients(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor | float, Tensor | float, Pair, Pair]:
        """The scale of the network's input, c_noise, and the coefficients of x0 and of eps; Python numbers where
        possible."""
        lam = alpha.log() - sigma.log()
        t = self.process.time(lam)
        own_alpha = self.process.alpha(t)
        own_sigma = self.process.sigma(t)
        scale = torch.where(alpha > 0, own_alpha / alpha, own_sigma / sigma)
        (k0, o0) = self.table.to_x0(own_alpha, own_sigma)
        (k1, o1) = self.table.to_eps(own_alpha, own_sigma)
        fed = scale * self.table.to_input(own_alpha, own_sigma)

        return (
            as_number(fed),
            as_number(self.time(lam)),
            (as_number(k0 * scale), as_number(o0)),
            (as_number(k1 * scale), as_number(o1)),
        )

    def _network(self, x: Tensor, c_noise: Tensor | float, cond: Any) -> Tensor:
        if cond is None and self._wants_cond:
            raise TypeError("`cond` must be given, got None: the network takes (x, c_noise, cond), all required")
        if cond is not None and not self._takes_cond:
            raise TypeError(f"`cond` must be left out, got {type(cond).__name__}: the network takes (x, c_noise) alone")

        dtype = weight_dtype(self.network, x.dtype)
        wide = (
            dtype if dtype == torch.float64 else torch.float32
        )  # half precision cannot tell neighbouring noise levels apart
        noise = per_sample(c_noise, x.to(wide) if x.dtype != wide else x)
        inputs = (x.to(dtype), noise) if cond is None else (x.to(dtype), noise, cond)

        out: Any = self.network(*inputs)
        if not isinstance(out, Tensor):
            raise TypeError(f"`network` must return a tensor, got {type(out).__name__}; wrap it")

        wanted = (len(x), self.table.outputs * x.shape[1], *x.shape[2:]) if x.dim() > 1 else x.shape
        if out.shape != wanted:
            more = "the shape of its input" if self.table.outputs == 1 else "twice the channels of its input:"
            raise ValueError(
                f"`network` must return {more} {tuple(wanted)}, got {tuple(out.shape)}; nothing is broadcast"
            )

        if not out.is_floating_point():
            raise TypeError(
                f"`network` must return real floating numbers, got {out.dtype}; take .real of a complex output"
            )

        return out.to(x.dtype)


def weight_dtype(network: nn.Module, default: torch.dtype) -> torch.dtype:
    """The dtype in which a network computes: that of its first floating weight. If it has only complex weights, that of
    their parts.

    Packed and quantised weights (integers, float8) are ignored.

    Args:
        network: the network; its parameters decide, or its buffers if no parameter is floating or complex.
        default: the result if it has no such weights.
    """

    parts = (w for w in network.parameters() if w.dtype in _FLOATING or w.is_complex())
    first = next(parts, None)
    if first is None:
        first = next((w for w in network.buffers() if w.dtype in _FLOATING), None)

    if first is None:
        return default

    if first.is_complex():  # the dtype of a later floating weight comes first
        first = next((w for w in parts if w.dtype in _FLOATING), first)

    return {torch.complex64: torch.float32, torch.complex128: torch.float64}.get(first.dtype, first.dtype)


def _accepts(function: Callable[..., Any], arguments: int) -> bool:
    """Whether a callable takes this number of positional arguments. True if its signature cannot be read."""
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except ValueError:  # built in, without a signature
        return True
    except TypeError:
        return False

    return True


class _OfScore(nn.Module):
    """A score function as the network of a denoiser."""

    def __init__(self, score: ScoreFunction):
        super().__init__()
        self.score = score

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.score(x, t.to(x.dtype).reshape(-1, *[1] * (x.dim() - 1)))


class _Function(nn.Module):
    """A plain function as the network of a denoiser."""

    def __init__(self, function: Callable[..., Tensor]):
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Tensor:
        return self.function(*inputs)
