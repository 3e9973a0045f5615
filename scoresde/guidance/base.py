"""The base of guided denoisers: a denoiser that changes the answers of another."""

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
    """A denoiser that changes what another answers. It is used in its place, along any process and by any method.

    denoiser  the other one, whose process and data moments are its own
    """

    def __init__(self, denoiser: BaseDenoiser):
        super().__init__()
        self.denoiser = is_denoiser("denoiser", denoiser)
        self.process: Process | None = denoiser.process
        self.moments = denoiser.moments

    @property
    def table(self) -> Parameterisation | None:
        """What the network inside predicts; None where it is not known."""
        return getattr(self.denoiser, "table", None)


def is_denoiser(name: str, value: Any) -> BaseDenoiser:
    """The value; or raise TypeError naming the argument.

    Args:
        name: of the argument.
        value: what came.
    """
    if not isinstance(value, BaseDenoiser):
        raise TypeError(f"`{name}` must be a denoiser, got {type(value).__name__}; see scoresde.Denoiser")
    return value


def check_scale(scale: Any, least: float = 0.0) -> Scale:
    """A guidance scale. Raises TypeError or ValueError naming it.

    Args:
        scale: a number, a floating tensor (B,), or a function of lam, whose values are looked at when it is used.
        least: smallest number allowed.
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
    """The scale at a noise level: a number where it is one, else ready to multiply x.

    Args:
        scale: as `check_scale` returns it.
        alpha: signal coefficient, 0-d or one per sample.
        sigma: noise coefficient, the same.
        x: the state, (B, ...).
        interval: levels lam in which it holds; None: all.
        outside: the scale elsewhere.

    Raises:
        ValueError: naming `scale`, where it holds another number of samples than the batch.
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
    """Two levels lam, rising, or None. Raises TypeError or ValueError naming `interval`."""
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
    """base + scale (toward - base), of two predictions for one state.

    Args:
        base: the prediction at scale 0.
        toward: the prediction at scale 1.
        scale: a number, or a tensor that broadcasts against the state.
        one_model: whether both are of one model, so that its outputs themselves may be mixed: then no end is singular.
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
    """<a, b> of each sample, ready to multiply them.

    Args:
        a: (B, ...).
        b: like a.
    """
    dims = tuple(range(1, a.dim()))
    return (a * b).sum(dims, keepdim=True)


def per_sample_norm(a: Tensor) -> Tensor:
    return per_sample_inner(a, a).sqrt()


def per_sample_std(a: Tensor) -> Tensor:
    """The standard deviation of the elements of each sample, shaped to multiply the samples."""
    dims = tuple(range(1, a.dim()))
    return a.std(dims, correction=0, keepdim=True)


def gradient_weight(alpha: Tensor, sigma: Tensor) -> Tensor:
    """sigma^2/alpha, by which a gradient of log p(. | x) is added to x0.

    Args:
        alpha: signal coefficient, 0-d or one per sample.
        sigma: noise coefficient, the same.

    Raises:
        ValueError: at pure noise, where x says nothing of x0.
    """
    if is_plain_scalar(alpha) and alpha.item() == 0.0:
        raise ValueError(
            "`alpha` must be above 0 for guidance by a gradient, got 0: take a method that begins inside pure noise,"
            " such as catalogue.unipc(n)"
        )
    return sigma**2 / alpha
