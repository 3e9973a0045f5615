"""The base class of guided denoisers, which change the prediction of another denoiser, and functions for them."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from solvers import check
from solvers.solver import is_plain_scalar

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.parameterisations import Parameterisation
from ..denoisers.prediction import Prediction
from ..processes.base import Process
from ..processes.coefficients import like

Scale = float | Tensor | Callable[[Tensor], Any]


class Guided(BaseDenoiser, ABC):
    """Abstract: a denoiser that changes the prediction of another denoiser. It replaces the other one along any process
    and in any method.

    denoiser  the other denoiser; its process and data moments are taken over
    """

    def __init__(self, denoiser: BaseDenoiser):
        super().__init__()
        self.denoiser = is_denoiser("denoiser", denoiser)
        self.process: Process | None = denoiser.process
        self.moments = denoiser.moments

    @property
    def table(self) -> Parameterisation | None:
        """The parameterisation of the network inside; None if it is not known."""
        return getattr(self.denoiser, "table", None)


def is_denoiser(name: str, value: Any) -> BaseDenoiser:
    """Check that an argument is a denoiser, and return it.

    Args:
        name: name of the argument, for the error.
        value: its value.

    Raises:
        TypeError: naming the argument.
    """
    if not isinstance(value, BaseDenoiser):
        raise TypeError(f"`{name}` must be a denoiser, got {type(value).__name__}; see scoresde.Denoiser")
    return value


def check_scale(scale: Any, least: float = 0.0) -> Scale:
    """Check a guidance scale, and return it.

    Args:
        scale: a number, a floating tensor (B,), or a function of lam, whose values are checked when it is used.
        least: smallest number allowed.

    Raises:
        TypeError, ValueError: naming `scale`.
    """
    if callable(scale):
        check.takes("scale", scale, 1, "lam -> scale")
        return scale

    if not isinstance(scale, Tensor):
        return check.number("scale", scale, least=least)

    if scale.dim() != 1 or not scale.is_floating_point():
        raise ValueError(
            f"`scale` must be a number, a floating tensor (B,) or a function of lam, got {scale.dtype} of shape"
            f" {tuple(scale.shape)}"
        )
    if not bool((scale.isfinite() & (scale >= least)).all()):
        raise ValueError(f"`scale` must be finite and at least {least:g}, got {scale.tolist()}")

    return scale


def scale_at(
    scale: Scale,
    alpha: Tensor,
    sigma: Tensor,
    x: Tensor,
    interval: tuple[float, float] | None = None,
    outside: float = 1.0,
) -> float | Tensor:
    """The guidance scale at a noise level: a float if one number holds for all samples, else a tensor shaped to
    multiply x.

    Args:
        scale: as `check_scale` returns it.
        alpha: signal coefficient, 0-d or one per sample, (B,).
        sigma: noise coefficient, 0-d or one per sample, (B,).
        x: the state, (B, ...).
        interval: (low, high) in lam, where `scale` holds; None: it holds everywhere.
        outside: the scale outside the interval.

    Raises:
        ValueError: naming `scale`, if it has one entry per sample of another batch size.
    """

    level = alpha.log() - sigma.log()
    known = is_plain_scalar(level)

    if known and interval is not None and not interval[0] <= level.item() <= interval[1]:
        return outside

    value: Any = scale(level) if callable(scale) else scale
    if not isinstance(value, Tensor):
        value = check.number("scale", value, least=0.0)
    if isinstance(value, Tensor) and value.dim() == 1 and len(value) not in (1, len(x)):
        raise ValueError(
            f"`scale` must be a number or hold one per sample, got {len(value)} for a batch of {len(x)}; a method on a"
            " fixed grid, without `batch`, keeps the samples together"
        )

    value = like(value, x, "scale") if isinstance(value, Tensor) else value

    if interval is not None and not known:
        inside = (level >= interval[0]) & (level <= interval[1])
        value = torch.where(like(inside.to(level.dtype), x, "scale") > 0, value, outside)

    return value.item() if isinstance(value, Tensor) and is_plain_scalar(value) else value


def check_interval(interval: Any) -> tuple[float, float] | None:
    """Check an interval of lam, (low, high) with low < high, or None. Raises TypeError or ValueError naming it."""
    if interval is None:
        return None

    if not isinstance(interval, (tuple, list)) or len(interval) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise TypeError(f"`interval` must be two levels lam = log(alpha/sigma), or None, got {interval!r}")

    if not all(isinstance(end, (int, float)) for end in interval):  # pyright: ignore[reportUnknownVariableType]
        raise TypeError(f"`interval` must hold two numbers, got {interval!r}")

    low, high = (float(end) for end in interval)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if not low < high:
        raise ValueError(f"`interval` must rise, got {(low, high)}")

    return low, high


def extrapolated(
    base: Prediction,
    toward: Prediction,
    scale: float | Tensor,
    one_model: bool = False,
) -> Prediction:
    """The prediction base + scale (toward - base), from two predictions for the same state.

    Args:
        base: the prediction at scale 0.
        toward: the prediction at scale 1.
        scale: a number, or a tensor that broadcasts against the state.
        one_model: True: both predictions are of one model, and its raw outputs are mixed. No conversion is needed, so
            alpha = 0 and sigma = 0 are not singular. False: v is mixed.
    """

    if one_model:
        return replace(toward, out=torch.lerp(base.out, toward.out, scale))

    return Prediction.of_v(
        toward.x,
        torch.lerp(base.v, toward.v, scale),
        toward.alpha,
        toward.sigma,
    )


def per_sample_inner(a: Tensor, b: Tensor) -> Tensor:
    """The inner product <a, b> of each sample, shaped to multiply the samples.

    Args:
        a: a batch, (B, ...).
        b: a batch like a.
    """
    dims = tuple(range(1, a.dim()))
    return (a * b).sum(dims, keepdim=True)


def per_sample_norm(a: Tensor) -> Tensor:
    """The Euclidean norm of each sample, shaped to multiply the samples."""
    return per_sample_inner(a, a).sqrt()


def per_sample_std(a: Tensor) -> Tensor:
    """The standard deviation of the elements of each sample, shaped to multiply the samples."""
    dims = tuple(range(1, a.dim()))
    return a.std(dims, correction=0, keepdim=True)


def gradient_weight(alpha: Tensor, sigma: Tensor) -> Tensor:
    """The factor sigma^2/alpha by which grad_x log p(. | x) is multiplied when it is added to x0.

    Args:
        alpha: signal coefficient, 0-d or one per sample.
        sigma: noise coefficient, 0-d or one per sample.

    Raises:
        ValueError: naming `alpha`, if it is 0 (pure noise).
    """
    if is_plain_scalar(alpha) and alpha.item() == 0.0:
        raise ValueError(
            "`alpha` must be above 0 for guidance by a gradient, got 0: take a method that begins inside pure noise,"
            " such as catalogue.unipc(n)"
        )
    return sigma**2 / alpha
