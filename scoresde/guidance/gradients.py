"""Guidance by a gradient: of a classifier's log probability, or of the similarity to an embedding."""

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
    """Classifier guidance: x0 is shifted by w (sigma^2/alpha) grad_x log p(cond | x).

    This adds w grad_x log p(cond | x) to the score. Dhariwal & Nichol 2021, arXiv:2105.05233.

    Args:
        denoiser: the model. It is called without a condition.
        log_prob: (x, alpha, sigma, cond) -> log p(cond | x), (B,), differentiable in x. It must know the noise level.
        scale: w, at least 0: a number, one per sample (B,), or a function of lam.

    Raises:
        TypeError, ValueError: naming the argument; `log_prob` at the call, if it returns another shape.

    Warns:
        UserWarning: at the first call, if log_prob returns the same values at two noise levels.
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
        """Warn once if the classifier ignores the noise level."""
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
    """Guidance toward a target in the space of an encoder g: x0 is shifted by w (sigma^2/alpha) grad_x <g(.), target>.

    If the encoder is for clean samples (`on` = "x0"), the gradient is taken through the denoiser. This costs one
    vector-Jacobian product.

    Args:
        denoiser: the model.
        encoder: g, (B, ...) -> (B, k), differentiable.
        target: (k,) or (B, k).
        scale: w, at least 0: a number, one per sample (B,), or a function of lam.
        on: "x0": g is applied to the denoised sample. "x": g is applied to the noisy state; use it only for an encoder
            that was trained on noisy states. The shift grows with sigma^2/alpha, so any other encoder leads far away.
        cosine: True: cosine similarity of g and target. False: their inner product.

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
    """The gradient of the sum of a batch of values. Raises TypeError or ValueError naming their function."""
    if not isinstance(value, Tensor):
        raise TypeError(f"`{name}` must return a tensor, got {type(value).__name__}")
    if value.shape != (len(leaf),):
        raise ValueError(f"`{name}` must return one number a sample, ({len(leaf)},), got shape {tuple(value.shape)}")
    if not value.requires_grad:
        raise ValueError(f"`{name}` must be differentiable in x, got a result without gradient")

    return torch.autograd.grad(value.sum(), leaf)[0]
