"""The pairs that a tuner learns from: latents, and the samples that the converged flow makes from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..samplers.catalogue import probability_flow
from ..samplers.sampling import decode, state_place

_OWN = range(3, 4)  # draw index: latents differ from those of `sample` with the same seed, which remain unseen
_RTOL = {torch.float64: 1e-8}  # tolerance of the converged flow by dtype
_ROUGH = 1e-5  # tolerance for any other dtype

Features = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Latents and the samples that the converged flow makes from them.

    latents  draws of N(0, I), (N, ...)
    answers  the sample of each latent, (N, ...)
    cond     a condition with one entry per latent, or None"""

    latents: Tensor
    answers: Tensor
    cond: Any = None

    def __len__(self) -> int:
        return len(self.latents)

    def rows(self, start: int, stop: int) -> Pairs:
        """The pairs from `start` up to `stop`.

        Args:
            start: index of the first pair.
            stop: index after the last pair.
        """
        some = slice(start, stop)
        return Pairs(self.latents[some], self.answers[some], conditions.rows(self.cond, some))

    def parts(self, size: int) -> Iterator[Pairs]:
        """Iterate over all pairs in parts of at most `size`."""
        for start in range(0, len(self), size):
            yield self.rows(start, start + size)


def converged(
    denoiser: BaseDenoiser,
    latents: Tensor,
    cond: Any,
    denoise: bool,
    coarse: bool = False,
) -> Tensor:
    """The samples that the probability flow makes from latents, by adaptive steps with a tolerance for the dtype.

    Args:
        denoiser: the model.
        latents: draws of N(0, I), (B, ...).
        cond: a condition with one entry per latent, or None.
        denoise: whether the state at the last level is denoised.
        coarse: True: thirty times the tolerance; the difference estimates the error of the solve.
    """
    rtol = _RTOL.get(latents.dtype, _ROUGH) * (30 if coarse else 1)
    return decode(denoiser, latents, probability_flow(rtol), cond=cond, denoise=denoise)


def drawn(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    count: int,
    cond: Any = None,
    seed: int = 0,
    denoise: bool = True,
    batch: int = 256,
) -> Pairs:
    """Draw pairs by a seed: pair i is a function of (seed, i).

    Args:
        denoiser: the model.
        shape: shape of one sample.
        count: number of pairs.
        cond: a condition: numbers, which hold for all, and tensors, whose entries are taken in turn.
        seed: of the latents.
        denoise: whether the state at the last level is denoised.
        batch: latents solved at once.
    """
    place, dtype = state_place(denoiser, None, None)
    whole = check.shape("shape", (count, *shape))
    latents = SeededNoise(seed).normal(PRIOR, _OWN, whole, dtype, place)[0]
    each = Pairs(latents, latents, in_turn(cond, count, place))
    answers = [converged(denoiser, part.latents, part.cond, denoise) for part in each.parts(batch)]
    return Pairs(latents, torch.cat(answers), each.cond)


def in_turn(cond: Any, count: int, device: Any) -> Any:
    """A condition with one entry for each of `count` samples.

    Args:
        cond: numbers, which hold for all, and tensors, whose entries are taken in turn, again from the first after the
            last; nested as the denoiser takes them.
        count: number of samples.
        device: where the entries are put.
    """
    if cond is None:
        return None

    def entries(leaf: Any, name: str) -> Any:
        value = torch.as_tensor(leaf, device=device)
        value = value[None] if value.dim() == 0 else value
        if not len(value):
            raise ValueError(f"`{name}` must have one entry or more, got none")
        return value[torch.arange(count, device=device) % len(value)]

    return conditions.each(entries, cond)


def distances(made: Tensor, answers: Tensor, features: Features | None = None) -> Tensor:
    """Root mean square distance of each sample to its answer, (B,) float64.

    Args:
        made: samples, (B, ...).
        answers: the answer of each sample, (B, ...).
        features: distances are taken between features of the samples, (B, ...) -> (B, ...); None: between the samples.
    """
    apart = made - answers if features is None else features(made) - features(answers)
    return apart.double().flatten(1).square().mean(1).sqrt()
