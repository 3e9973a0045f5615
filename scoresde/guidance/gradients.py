"""Guidance by a gradient: of a classifier's log probability, or of the likeness to an embedding."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..denoisers.prediction import Prediction
from ..processes.coefficients import as_time, like
from .base import Guided, Scale, check_scale, gradient_weight, scale_at

LogProb = Callable[[Tensor, Tensor, Tensor, Any], Tensor]


class Classifier(Guided):
    """x0 + w (sigma^2/alpha) grad_x log p(cond | x): score + w grad log p. Dhariwal & Nichol 2021, arXiv:2105.05233.

    Args:
        denoiser: the model. It is asked without a condition.
        log_prob: (x, alpha, sigma, cond) -> log p(cond | x), (B,), differentiable in x. It must know the noise level.
        scale: w, at least 0: a number, one per sample (B,), or a function of lam.

    Raises:
        TypeError, ValueError: naming the argument; `log_prob` at the call, where it answers another shape.

    Warns:
        UserWarning: at the first call, where log_prob answers the same at two noise levels.
    """

    def __init__(
        self,
        denoiser: BaseDenoiser,
        log_prob: LogProb,
        scale: Scale = 1.0,
    ):
        super().__init__(denoiser)
        check.takes("log_prob", log_prob, 4, "(x, alpha, sigma, cond) -> (B,)")
        self.log_prob = log_prob
        self.scale = check_scale(scale)
        self._looked = False

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        scale = scale_at(self.scale, alpha, sigma, x)
        plain = self.denoiser(x, alpha, sigma)

        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            gradient = _gradient("log_prob", self.log_prob(leaf, alpha, sigma, cond), leaf)

        self._look(x, alpha, sigma, cond)

        return plain.shifted(gradient * like(gradient_weight(alpha, sigma), x) * scale)

    def _look(self, x: Tensor, alpha: Tensor, sigma: Tensor, cond: Any) -> None:
        """Warn once where the classifier does not know of noise."""
        if self._looked or torch.compiler.is_compiling():
            return

        self._looked = True
        other = sigma / 10
        with torch.no_grad():
            here = self.log_prob(x, alpha, sigma, cond)
            there = self.log_prob(x, alpha, other, cond)

        if torch.equal(here, there):
            warnings.warn(
                "`log_prob` answers the same at sigma and sigma/10 for the same x, so it does not know the noise level:"
                " its gradient at noisy states means little; train it on noisy samples",
                stacklevel=4,
            )


class Embedding(Guided):
    """Toward a target in the space of an encoder: x0 + w (sigma^2/alpha) grad_x <g(.), target>.

    The gradient is taken through the denoiser where the encoder is for clean samples: one vector-Jacobian product.

    Args:
        denoiser: the model.
        encoder: g, (B, ...) -> (B, k), differentiable.
        target: h, (k,) or (B, k).
        scale: w, at least 0: a number, one per sample (B,), or a function of lam.
        on: "x0": g reads the denoised sample; "x": the noisy state, for an encoder that was trained on noisy states.
            Any other encoder leads far away there, because the shift grows with sigma^2/alpha.
        cosine: compare the directions of g and target alone.

    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(
        self,
        denoiser: BaseDenoiser,
        encoder: Callable[[Tensor], Tensor],
        target: Tensor,
        scale: Scale = 1.0,
        on: str = "x0",
        cosine: bool = False,
    ):
        super().__init__(denoiser)
        check.takes("encoder", encoder, 1, "(B, ...) -> (B, k)")
        check.choice("on", on, ("x0", "x"))
        self.encoder = encoder
        self.target: Tensor
        self.register_buffer("target", check.floating("target", target))
        self.scale = check_scale(scale)
        self.on = on
        self.cosine = cosine

    def forward(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any = None,
    ) -> Prediction:
        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        scale = scale_at(self.scale, alpha, sigma, x)

        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            plain = self.denoiser(leaf, alpha, sigma, cond)
            gradient = _gradient("encoder", self._likeness(plain.x0 if self.on == "x0" else leaf), leaf)

        plain = replace(plain, x=x, out=plain.out.detach())

        return plain.shifted(gradient * like(gradient_weight(alpha, sigma), x) * scale)

    def _likeness(self, x: Tensor) -> Tensor:
        code = self.encoder(x)
        target = self.target.to(code)
        if code.dim() != 2 or code.shape[1] != target.shape[-1] or target.dim() > 2:
            raise ValueError(
                f"`target` must have the shape of a code, ({code.shape[-1]},) or one a sample, got"
                f" {tuple(target.shape)} for codes of shape {tuple(code.shape)}"
            )

        if self.cosine:
            return torch.nn.functional.cosine_similarity(code, target.expand_as(code), dim=1)
        return (code * target).sum(1)


def _gradient(name: str, value: Any, leaf: Tensor) -> Tensor:
    """Of the sum of a batch of values. Raises TypeError or ValueError naming what gave them."""
    if not isinstance(value, Tensor):
        raise TypeError(f"`{name}` must return a tensor, got {type(value).__name__}")
    if value.shape != (len(leaf),):
        raise ValueError(f"`{name}` must return one number a sample, ({len(leaf)},), got shape {tuple(value.shape)}")
    if not value.requires_grad:
        raise ValueError(f"`{name}` must be differentiable in x, got a result without gradient")

    return torch.autograd.grad(value.sum(), leaf)[0]
