"""Classifiers of noisy samples: log p(c | x) for x = alpha x0 + sigma eps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..processes.base import Process
from ..processes.coefficients import as_time, like
from .moments import Moments
from .noise_conditioning import NoiseConditioning


class NoisyClassifier(nn.Module):
    """A network that classifies noisy samples, with the process of its training samples.

    x is scaled to alpha^2 + sigma^2 = 1 for the network, so it may belong to any process. `guidance.Classifier` takes
    its `log_prob`. Dhariwal & Nichol 2021, arXiv:2105.05233.

    Args:
        network: network(x, c_noise) -> logits (B, classes).
        process: the process of its noisy training samples.
        time: function lam -> c_noise; None: `NoiseConditioning`, as for the networks of a run.
    """

    moments: Moments | None = None

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        *,
        time: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__()
        if not isinstance(process, Process):
            raise TypeError(f"`process` must be a Process, got {type(process).__name__}; for example VPSDE()")

        self.network = network
        self.process = process
        self.time = NoiseConditioning(process) if time is None else time

    def around(self, network: nn.Module) -> NoisyClassifier:
        """The same classifier with another network.

        Args:
            network: network with the same arguments and output as the present one.
        """
        return NoisyClassifier(network, self.process, time=self.time)

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Logits, (B, classes).

        Args:
            x: states, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
        """

        alpha = as_time(alpha, "alpha")
        sigma = as_time(sigma, "sigma")
        dtype = next((p.dtype for p in self.network.parameters()), x.dtype)
        fed = x / like((alpha**2 + sigma**2).sqrt(), x)
        c_noise = self.time(alpha.log() - sigma.log()).float().to(x.device)

        return self.network(fed.to(dtype), c_noise.expand(len(x))).to(x.dtype)

    def log_prob(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        cond: Any,
    ) -> Tensor:
        """log p(cond | x), (B,), differentiable in x.

        Args:
            x: states, (B, ...).
            alpha: signal coefficient, 0-d or (B,).
            sigma: noise coefficient, 0-d or (B,).
            cond: labels, (B,) int64.

        Raises:
            TypeError, ValueError: naming `cond`.
        """

        if not isinstance(cond, Tensor) or cond.dtype != torch.int64 or cond.shape != (len(x),):
            got = f"{cond.dtype} of shape {tuple(cond.shape)}" if isinstance(cond, Tensor) else repr(cond)
            raise TypeError(f"`cond` must be labels, int64 of shape ({len(x)},), for a classifier, got {got}")

        log_probs = self(x, alpha, sigma).log_softmax(1)
        classes = log_probs.shape[1]
        if not torch.compiler.is_compiling() and not bool(((cond >= 0) & (cond < classes)).all()):
            raise ValueError(f"`cond` must lie in [0, {classes}), got {cond.min().item()} to {cond.max().item()}")

        return log_probs.gather(1, cond.to(x.device)[:, None])[:, 0]
