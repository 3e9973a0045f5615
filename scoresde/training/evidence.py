"""The loss of an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from solvers import check

from .losses import Loss


@dataclass(frozen=True)
class ELBO(Loss):
    """-log p(x | z) + kl_weight sum_j max(KL_j, free_bits), in nats: the negative evidence bound of an `Autoencoder`.

    With kl_weight 1 and free_bits 0 it bounds -log p(x). Kingma & Welling 2014, arXiv:1312.6114; Kingma et al. 2016,
    arXiv:1606.04934 (free bits); Higgins et al. 2017 (the weight).

    std        standard deviation of the observation noise, in the model's scale; stored with the run
    kl_weight  weight of the KL divergence from N(0, 1), 0 or more
    free_bits  for each number z_j of z, a divergence up to this many nats is not penalised, 0 or more
    """

    std: float = 0.1
    kl_weight: float = 1.0
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        check.number("std", self.std, above=0.0)
        check.number("kl_weight", self.kl_weight, least=0.0)
        check.number("free_bits", self.free_bits, least=0.0)

    def __call__(
        self,
        denoiser: Any,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        cond: Any = None,
    ) -> Tensor:
        terms = denoiser.terms(x0, eps)
        kl = terms.kl.clamp(min=self.free_bits) if self.free_bits else terms.kl
        return terms.reconstruction + self.kl_weight * kl.sum(1)
