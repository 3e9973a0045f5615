"""An adapter to torchsde (Li et al. 2020, arXiv:2001.01328)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .. import check
from ..equation import Equation, Noise, Sense
from ..noise import SeededNoise
from ..solution import Solution
from .base import Adapter, FlatEquation

_SENSES = {
    "euler": Sense.ITO,
    "milstein": Sense.ITO,
    "srk": Sense.ITO,
    "euler_heun": Sense.STRATONOVICH,
    "heun": Sense.STRATONOVICH,
    "midpoint": Sense.STRATONOVICH,
    "reversible_heun": Sense.STRATONOVICH,
}
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class TorchSDE(Adapter):
    """torchsde's sdeint(method, dt), for SDEs with additive or diagonal noise.

    `dt` is the size of its inner steps. Additive noise is passed to torchsde as diagonal noise. The noise of a solve is
    an int seed, or a SeededNoise. The seed and first index of a SeededNoise are combined into one seed. From it,
    torchsde draws its own Brownian path for the whole batch, so a sample depends on the batch that it is in."""

    method: str = "euler"
    dt: float = 1e-2

    def __post_init__(self) -> None:
        check.choice("method", self.method, _SENSES)
        check.number("dt", self.dt, above=0.0, hint="the direction is that of the times")

    def integrate(
        self,
        eq: Equation,
        y0: Tensor,
        times: Tensor,
        noise: Any,
    ) -> Solution:
        import torchsde

        if eq.g is None:
            raise ValueError(f"`solver` must be an ODE solver for an equation without noise, got {self!r}")

        sense = _SENSES[self.method]
        if eq.kind is Noise.DIAGONAL and sense is not eq.sense:
            raise ValueError(
                f"`solver` must read g dW in the {eq.sense.value} sense of the equation, got {self!r}, which does not"
            )

        seed = noise.seed ^ (noise.first * 0x9E3779B97F4A7C15 & _LARGEST) if isinstance(noise, SeededNoise) else noise
        check.integer("noise", seed, least=0, most=_LARGEST, hint="torchsde takes a seed: SeededNoise(seed) or an int")
        flat = FlatEquation(eq, y0, times)
        ts = flat.times.to(y0.device)
        path = torchsde.BrownianInterval(
            ts[0],
            ts[-1],
            size=flat.y0.shape,
            dtype=y0.dtype,
            device=y0.device,
            entropy=seed,
            levy_area_approximation="space-time",
        )
        ys: Any = torchsde.sdeint(
            _Diagonal(flat, sense),
            flat.y0,
            ts,
            bm=path,
            method=self.method,
            dt=self.dt,
        )

        return flat.solution(times, ys)


class _Diagonal:
    """An SDE object with the attributes and methods that torchsde requires."""

    noise_type = "diagonal"

    def __init__(self, flat: FlatEquation, sense: Sense):
        self.sde_type = "ito" if sense is Sense.ITO else "stratonovich"
        self.f = flat.f
        self.g = flat.g
