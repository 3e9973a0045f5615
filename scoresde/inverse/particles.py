"""Posterior samples by sequential Monte Carlo, exact in the limit of many particles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..denoisers.denoiser import BaseDenoiser
from ..samplers.method import Method
from ..samplers.sampling import state_place
from .denoisers import PiGDM
from .filters import Moved, Particles, Seen, Twist, filtered, noise_levels
from .measurement import SEEN, Measurement, check_linear


def twisted(
    denoiser: BaseDenoiser,
    measurement: Measurement,
    shape: Sequence[int],
    method: Method,
    *,
    particles: int = 256,
    seed: int = 0,
    cond: Any = None,
    data_std: float | None = None,
    batch: int = 4096,
) -> Particles:
    """Samples of p(x0 | y) by a twisted particle filter: ancestral steps led by the measurement, corrected by weights.

    Between noise levels s > s' of x = x0 + s eps a particle moves by the ancestral step of the led denoiser,

        x' ~ q = N(x + (s^2 - s'^2) (x0_led - x)/s^2, v),    v = s'^2 (s^2 - s'^2)/s^2,

    and its weight is multiplied by p(x' | x) p~(y | x')/(q p~(y | x)), p the ancestral step of the prior and p~ the
    likelihood as `PiGDM` has it. The last weight holds the measurement itself. The error falls as the square root of
    the number of particles; what is left is the discretisation of the prior's own chain. Wu et al. 2023,
    arXiv:2306.17775.

    Args:
        denoiser: the prior.
        measurement: with a linear operator and std above 0.
        shape: (B, ...); B draws are made of all the particles. More than a quarter of them repeat noticeably.
        method: whose levels are taken, such as catalogue.ddpm(100). The steps are ancestral whatever it says.
        particles: P, at least 2.
        seed: of all draws.
        cond: a number, which holds for all particles, or P equal rows; None for none.
        data_std: standard deviation of the data in p~; None: what the denoiser knows of its data, else 1.
        batch: particles at once, where memory is short.

    Raises:
        TypeError, ValueError: naming the argument; `denoiser` where particles become NaN or infinite.

    Warns:
        UserWarning: where the effective number of particles at the end is below 2 in 100.
    """

    levels = noise_levels(denoiser, method)
    if check_linear(measurement).std == 0.0:
        raise ValueError("`measurement` must have a std above 0, which weights divide by, got 0; take mcgdiff")

    led = PiGDM(denoiser, measurement, data_std)

    return filtered(_Led(levels, led), denoiser, shape, particles, seed, cond, batch)


def mcgdiff(
    denoiser: BaseDenoiser,
    measurement: Measurement,
    shape: Sequence[int],
    method: Method,
    *,
    particles: int = 256,
    seed: int = 0,
    cond: Any = None,
    batch: int = 4096,
) -> Particles:
    """Samples of p(x0 | y) by a particle filter whose steps know what each direction of the measurement must become.

    Along a right singular direction of A with singular value a, y says x0 + (std/a) eps: the state at the level std/a,
    if noise there were the measurement's. So the twist at a level s above it is N(y/a; x, s^2 - (std/a)^2); the
    ancestral step times that is normal and drawn exactly; at the level std/a itself the state is y/a, and below it the
    direction is the prior's own. A call costs no vector-Jacobian product. Cardoso et al. 2023, arXiv:2308.07983.

    Args:
        denoiser: the prior.
        measurement: with a linear operator that makes at most 4096 numbers; std may be 0.
        shape: (B, ...); B draws are made of all the particles. More than a quarter of them repeat noticeably.
        method: whose levels are taken, such as catalogue.ddpm(100). The steps are ancestral whatever it says.
        particles: P, at least 2.
        seed: of all draws.
        cond: a number, which holds for all particles, or P equal rows; None for none.
        batch: particles at once, where memory is short.

    Raises:
        TypeError, ValueError: naming the argument; `denoiser` where particles become NaN or infinite.

    Warns:
        UserWarning: where the effective number of particles at the end is below 2 in 100.
    """

    levels = noise_levels(denoiser, method)
    shape = check.shape("shape", shape)
    place, dtype = state_place(denoiser, None, None)
    check_linear(measurement).check_fits(torch.empty(1, *shape[1:], dtype=dtype, device=place))
    twist = SeenDirections(levels, denoiser, measurement, shape[1:])

    return filtered(twist, denoiser, shape, particles, seed, cond, batch)


class _Led(Twist):
    """The prior's steps led by a measured denoiser, whose fit is the twist."""

    def __init__(self, levels: Tensor, led: PiGDM):
        super().__init__(levels)
        self.led = led

    def start(self, z: Tensor) -> Moved:
        return Moved(z * self.levels[0], z.new_zeros(len(z)))

    def seen(self, x: Tensor, k: int, cond: Any) -> Seen:
        found = self.led.led(x, torch.ones_like(self.levels[k]), self.levels[k], cond)
        return Seen(found.plain.x0, found.prediction.x0, found.fit)

    def move(self, seen: Seen, x: Tensor, k: int, z: Tensor) -> Moved:
        s_next = self.levels[k]
        gain = 1 - (s_next / self.levels[k - 1]) ** 2
        spread = s_next * gain.sqrt()
        moved = x + gain * (seen.led - x) + spread * z
        toward = z + (gain / spread) * (seen.led - seen.plain)  # the same move, as a draw of the prior's step

        return Moved(moved, 0.5 * (z.square() - toward.square()).flatten(1).sum(1))

    def end(self, seen: Seen) -> Tensor:
        return self.led.measurement.log_prob(seen.plain) - seen.fit


class SeenDirections(Twist):
    """Right singular directions of A, (m, d), and what the measurement says of each: value and level, (m,)."""

    def __init__(self, levels: Tensor, denoiser: BaseDenoiser, measurement: Measurement, shape: tuple[int, ...]):
        super().__init__(levels)
        self.denoiser = denoiser
        u, a, rows = torch.linalg.svd(measurement.matrix(math.prod(shape), shape), full_matrices=False)
        kept = a.square() > SEEN
        self.rows = rows[kept]
        self.value = (measurement.y.flatten().to(u) @ u)[kept] / a[kept]
        self.level = measurement.std / a[kept]
        self.known = measurement.std > 0

    def start(self, z: Tensor) -> Moved:
        """The prior at the first level times the twist there: normal, of one weight for all."""
        s = self.levels[0]
        spread = (s**2 - self.level**2).clamp(min=0.0)
        active = self.level < s
        keep = torch.where(active, spread / (s**2 + spread), 1.0)  # of the prior's variance
        h = (1 - keep) * self.value + s * keep.sqrt() * self._along(z)
        x = self._with(z * s, h)

        return Moved(x, -self._log_twist(self._along(x), 0))

    def seen(self, x: Tensor, k: int, cond: Any) -> Seen:
        s = self.levels[k]
        plain = self.denoiser(x, torch.ones_like(s), s, cond).x0
        if k + 1 == len(self.levels):
            return Seen(plain, plain, self._log_twist(self._along(x), k))

        mean, variance, spread = self._step(self._along(x), self._along(plain), k + 1)
        active = self.level < s
        log_prob = -0.5 * ((self.value - mean) ** 2 / (variance + spread) + (variance + spread).log())

        return Seen(plain, plain, torch.where(active, log_prob, 0.0).sum(1).to(x))

    def move(self, seen: Seen, x: Tensor, k: int, z: Tensor) -> Moved:
        s, s_next = self.levels[k - 1], self.levels[k]
        gain = 1 - (s_next / s) ** 2
        moved = x + gain * (seen.plain - x) + s_next * gain.sqrt() * z

        # the seen directions anew: to the level e of the twist by the product of two normals, then on to s'
        h, h0, noise = self._along(x), self._along(seen.plain), self._along(z)
        mean, variance, spread = self._step(h, h0, k)
        e = self.level.clamp(min=s_next)
        fused = mean + variance / (variance + spread) * (self.value - mean)
        fused_variance = variance * spread / (variance + spread)
        further = 1 - (s_next / e) ** 2
        there = fused + further * (h0 - fused)
        std = ((1 - further) ** 2 * fused_variance + s_next**2 * further).sqrt()
        after = torch.where(self.level < s, there + std * noise, self._along(moved))
        moved = self._with(moved, after)

        return Moved(moved, seen.fit - self._log_twist(after, k).to(x))

    def end(self, seen: Seen) -> Tensor:
        """The measurement itself of the directions that the last level has not reached; nothing where std is 0."""
        unreached = self.level < self.levels[-1]
        log_prob = -0.5 * ((self.value - self._along(seen.plain)) / self.level) ** 2 - self.level.log()
        exact = torch.where(unreached, log_prob, 0.0).sum(1).to(seen.fit)

        return exact - seen.fit if self.known else torch.zeros_like(seen.fit)

    def _step(self, h: Tensor, h0: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance of the prior's step toward the twist of level k, and the twist's own variance."""
        e = self.level.clamp(min=self.levels[k])
        gain = 1 - (e / self.levels[k - 1]) ** 2
        return h + gain * (h0 - h), (e**2 * gain).clamp(min=0.0), (e**2 - self.level**2).clamp(min=0.0)

    def _log_twist(self, h: Tensor, k: int) -> Tensor:
        """log N(value; h, s^2 - level^2) of the directions whose level lies below s, (P,)."""
        spread = self.levels[k] ** 2 - self.level**2
        active = spread > 0
        spread = torch.where(active, spread, 1.0)
        return torch.where(active, -0.5 * ((self.value - h) ** 2 / spread + spread.log()), 0.0).sum(1)

    def _along(self, x: Tensor) -> Tensor:
        """Coordinates of the seen directions, (P, m)."""
        return x.flatten(1).to(self.rows) @ self.rows.T

    def _with(self, x: Tensor, h: Tensor) -> Tensor:
        """x with these coordinates along the seen directions."""
        change = (h - self._along(x)) @ self.rows
        return x + change.reshape(x.shape).to(x)
