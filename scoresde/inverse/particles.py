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
    """Samples of p(x0 | y) by a twisted particle filter: ancestral steps with a guided denoiser, corrected by weights.

    Between noise levels s > s' of x = x0 + s eps a particle moves by the ancestral step of the denoiser `PiGDM`, whose
    prediction is x0_led,

        x' ~ q = N(x + (s^2 - s'^2) (x0_led - x)/s^2, v),    v = s'^2 (s^2 - s'^2)/s^2.

    Its weight is multiplied by p(x' | x) p~(y | x')/(q p~(y | x)), with p the ancestral step of the prior and p~ the
    likelihood that `PiGDM` approximates. The last weight contains the exact likelihood. The error falls with the square
    root of the number of particles, down to the discretisation error of the prior's own chain. Wu et al. 2023,
    arXiv:2306.17775.

    Args:
        denoiser: the prior.
        measurement: with a linear operator and std above 0.
        shape: (B, ...); B samples are drawn from the P particles. If B is above P/4, equal samples become frequent.
        method: gives the noise levels, such as catalogue.ddpm(100). Its solver is not used.
        particles: P, at least 2.
        seed: of all draws.
        cond: a number, which holds for all particles, or P equal rows; None: no condition.
        data_std: standard deviation of the data in p~; None: from the denoiser's moments, else 1.
        batch: particles per network call; fewer need less memory.

    Raises:
        TypeError, ValueError: naming the argument; `denoiser` if particles become NaN or infinite.

    Warns:
        UserWarning: if the effective number of particles at the end is below 2, or below 2 % of P.
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
    """Samples of p(x0 | y) by a particle filter (MCGdiff) that uses the measurement as a noisy state in each direction.

    In a right singular direction of A with singular value a, y/a has the distribution of x0 + (std/a) eps. This is the
    state at noise level std/a. Therefore the twist at a higher level s is N(y/a; x, s^2 - (std/a)^2). The product of
    the ancestral step and the twist is normal and is drawn exactly. At the level std/a the state is y/a, and at lower
    levels the direction follows the prior alone. A call costs no vector-Jacobian product. Cardoso et al. 2023,
    arXiv:2308.07983.

    Args:
        denoiser: the prior.
        measurement: with a linear operator; std may be 0.
        shape: (B, ...); B samples are drawn from the P particles. If B is above P/4, equal samples become frequent.
        method: gives the noise levels, such as catalogue.ddpm(100). Its solver is not used.
        particles: P, at least 2.
        seed: of all draws.
        cond: a number, which holds for all particles, or P equal rows; None: no condition.
        batch: particles per network call; fewer need less memory.

    Raises:
        TypeError, ValueError: naming the argument; `denoiser` if particles become NaN or infinite.

    Warns:
        UserWarning: if the effective number of particles at the end is below 2, or below 2 % of P.
    """

    levels = noise_levels(denoiser, method)
    shape = check.shape("shape", shape)
    place, dtype = state_place(denoiser, None, None)
    check_linear(measurement).check_fits(torch.empty(1, *shape[1:], dtype=dtype, device=place))
    twist = SeenDirections(levels, denoiser, measurement, shape[1:])

    return filtered(twist, denoiser, shape, particles, seed, cond, batch)


class _Led(Twist):
    """The twist of `twisted`: ancestral steps with a guided denoiser, whose approximate likelihood is the twist."""

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
    """The twist of `mcgdiff`: for each measured right singular direction of A, the value y/a and its noise level std/a.

    rows   the directions, (m, d)
    value  y/a, (m,)
    level  std/a, (m,)
    """

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
        """Draws of the prior at the first level times the twist there, which is normal; all have the same weight."""
        s = self.levels[0]
        spread = (s**2 - self.level**2).clamp(min=0.0)
        active = self.level < s
        keep = torch.where(active, spread / (s**2 + spread), 1.0)  # share of the prior's variance that is kept
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

        # measured directions are drawn again: at the level e of the twist from the product of two normals, then at s'
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
        """Log likelihood of the directions with level below the last one, minus the last twist; 0 if std is 0."""
        unreached = self.level < self.levels[-1]
        log_prob = -0.5 * ((self.value - self._along(seen.plain)) / self.level) ** 2 - self.level.log()
        exact = torch.where(unreached, log_prob, 0.0).sum(1).to(seen.fit)

        return exact - seen.fit if self.known else torch.zeros_like(seen.fit)

    def _step(self, h: Tensor, h0: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance of the prior's step to the level of the twist at k, and the variance of the twist."""
        e = self.level.clamp(min=self.levels[k])
        gain = 1 - (e / self.levels[k - 1]) ** 2
        return h + gain * (h0 - h), (e**2 * gain).clamp(min=0.0), (e**2 - self.level**2).clamp(min=0.0)

    def _log_twist(self, h: Tensor, k: int) -> Tensor:
        """log N(value; h, s^2 - level^2), summed over the directions with level below s, (P,)."""
        spread = self.levels[k] ** 2 - self.level**2
        active = spread > 0
        spread = torch.where(active, spread, 1.0)
        return torch.where(active, -0.5 * ((self.value - h) ** 2 / spread + spread.log()), 0.0).sum(1)

    def _along(self, x: Tensor) -> Tensor:
        """Coordinates of x in the measured directions, (P, m)."""
        return x.flatten(1).to(self.rows) @ self.rows.T

    def _with(self, x: Tensor, h: Tensor) -> Tensor:
        """x with its coordinates in the measured directions replaced by h."""
        change = (h - self._along(x)) @ self.rows
        return x + change.reshape(x.shape).to(x)
