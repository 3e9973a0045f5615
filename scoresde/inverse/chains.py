"""Posterior samplers with update rules of their own: DDRM and DAPS. They use no solver for the step between levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import CORRECTOR, PRIOR, PROBE

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..runtime.torch_state import evaluating
from ..samplers.editing import finished
from ..samplers.method import Method
from ..samplers.plan import check_method
from ..samplers.sampling import state_place
from .denoisers import scale_of_data
from .filters import check_finite, noise_levels
from .measurement import SEEN, Measurement, check_linear, is_measurement
from .operators import Operator


class _Chain(NamedTuple):
    """Falling noise levels s of x = x0 + s eps, the noise source, the shape of the samples, and their condition."""

    levels: Tensor
    source: SeededNoise
    like: Tensor
    cond: Any

    def normal(
        self,
        k: int,
        stream: int = PRIOR,
        shape: Sequence[int] | None = None,
    ) -> Tensor:
        """The k-th batch of standard normals of a stream, with the shape of the samples if no other is given."""
        there = self.like
        return self.source.normal(stream, range(k, k + 1), tuple(shape or there.shape), there.dtype, there.device)[0]


def ddrm(
    denoiser: BaseDenoiser,
    measurement: Measurement,
    shape: Sequence[int],
    method: Method,
    *,
    seed: int = 0,
    cond: Any = None,
    first: int = 0,
    eta: float = 0.85,
    eta_b: float = 1.0,
) -> Tensor:
    """Posterior samples by DDRM: the measurement is used separately in each right singular direction of A.

    Let x0 be the model's prediction, ybar = A^+ y, and t = std/a the noise of ybar in a direction of singular value a.
    The state at the next noise level s' is

        a = 0       x0 + sqrt(1 - eta^2) s'/s (x - x0) + eta s' z
        s' < t      x0 + sqrt(1 - eta^2) s'/t (ybar - x0) + eta s' z
        s' >= t     (1 - eta_b) x0 + eta_b ybar + sqrt(s'^2 - eta_b^2 t^2) z.

    It takes one network call per level and no vector-Jacobian product. Kawar et al. 2022, arXiv:2201.11793.

    Args:
        denoiser: the prior.
        measurement: with a linear operator; std may be 0.
        shape: shape of the samples, (B, ...).
        method: gives the noise levels, such as catalogue.ddim(20). Its solver is not used.
        seed: sample i is a function of (seed, first + i).
        cond: condition of each sample, or None (`denoisers.conditions`).
        first: index of the first sample.
        eta: share of fresh noise in directions with a = 0 or s' < t, in [0, 1].
        eta_b: weight of the measurement in directions with s' >= t, in [0, 1].

    Raises:
        TypeError, ValueError: naming the argument; `denoiser` if samples become NaN or infinite.
    """

    check.number("eta", eta, least=0.0, most=1.0)
    check.number("eta_b", eta_b, least=0.0, most=1.0)
    operator = check_linear(measurement).operator
    chain = _chain(denoiser, shape, method, seed, cond, first)
    measurement.check_fits(chain.like)
    std = measurement.std
    ybar = measurement.pseudo_inverse().to(chain.like).expand(chain.like.shape)

    def first_state(c: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of ybar and z at the first level."""
        t = _noise(c, std)
        s = chain.levels[0]
        seen = t <= s
        return seen.to(c), (s**2 - torch.where(seen, t, 0.0) ** 2).sqrt()

    x = _mixed(operator, (ybar, chain.normal(0)), first_state)
    levels = [*chain.levels.tolist(), 0.0]

    with torch.no_grad(), evaluating(denoiser):
        for k in range(1, len(levels)):
            s, s_next = levels[k - 1], levels[k]
            terms = (_answer(denoiser, x, chain, k - 1), x, ybar, chain.normal(k))
            x = _mixed(operator, terms, partial(_ddrm_weights, std=std, s=s, s_next=s_next, eta=eta, eta_b=eta_b))

    check_finite(x)

    return x


def _ddrm_weights(
    c: Tensor,
    std: float,
    s: float,
    s_next: float,
    eta: float,
    eta_b: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of x0, x, ybar and z along directions of squared singular values c; see `ddrm`."""

    keep = (1 - eta**2) ** 0.5
    t = _noise(c, std)
    hidden = c <= SEEN
    precise = (t <= s_next) & ~hidden
    toward = torch.where(hidden | precise, 0.0, keep * s_next / t.clamp(min=SEEN))
    of_x = torch.where(hidden, keep * s_next / s, 0.0)
    of_y = torch.where(precise, eta_b, toward)
    left = (s_next**2 - (eta_b * torch.where(precise, t, 0.0)) ** 2).clamp(min=0.0).sqrt()

    return 1 - of_x - of_y, of_x, of_y, torch.where(precise, left, eta * s_next)


def _noise(c: Tensor, std: float) -> Tensor:
    """Noise of the measurement in directions of squared singular values c; infinite if a direction is not measured."""
    return torch.where(c > SEEN, std / c.clamp(min=SEEN).sqrt(), torch.inf)


def _mixed(
    operator: Operator,
    terms: Sequence[Tensor],
    weights: Callable[[Tensor], Sequence[Tensor]],
) -> Tensor:
    """The sum of terms, each multiplied by its weight in every right singular direction."""
    parts = [operator.spectral(term, lambda c, i=i: weights(c)[i]) for i, term in enumerate(terms)]
    return torch.stack(parts).sum(0)


def daps(
    denoiser: BaseDenoiser,
    measurement: Measurement,
    shape: Sequence[int],
    method: Method,
    inner: Method,
    *,
    seed: int = 0,
    cond: Any = None,
    first: int = 0,
    data_std: float | None = None,
    langevin: int = 100,
    rate: float = 0.1,
) -> Tensor:
    """Posterior samples by decoupled annealing (DAPS). Each level has three steps: solve to a clean sample, draw a
    sample that fits the measurement near it, add noise of the next level.

    At a level s of x = x0 + s eps, `inner` solves from x to a clean xhat. Then x0 is drawn from

        N(x0; xhat, r^2 I) N(y; A(x0), std^2 I),    r^2 = c^2 s^2/(c^2 + s^2),

    with c the standard deviation of the data, and x = x0 + s' z. The paper has r = s; with c the draw keeps the scale
    of the data at high noise. For a linear operator the draw is exact. For any other it is made by Langevin steps.
    Zhang et al. 2024, arXiv:2407.01521.

    Args:
        denoiser: the prior.
        measurement: any operator; std must be above 0 unless the operator is linear.
        shape: shape of the samples, (B, ...).
        method: gives the noise levels, such as catalogue.ddim(50). Its solver is not used.
        inner: deterministic method that solves from each level to xhat, such as catalogue.ddim(5).
        seed: sample i is a function of (seed, first + i).
        cond: condition of each sample, or None (`denoisers.conditions`).
        first: index of the first sample.
        data_std: c; None: from the denoiser's moments, else 1.
        langevin: Langevin steps of one draw, if the operator is not linear.
        rate: length of these steps, in units of r^2 std^2/(r^2 + std^2).

    Raises:
        TypeError, ValueError: naming the argument; `rate` if Langevin steps diverge.
        solvers.SolveError: if the inner solve is not finite.
    """

    if is_measurement(measurement).std == 0.0 and not measurement.operator.linear:
        raise ValueError("`measurement` must have a std above 0 where its operator is not linear, got 0")
    check_method(denoiser, inner)
    if inner.n is None or inner.stochastic or inner.wrap:
        raise ValueError(f"`inner` must be deterministic, on a fixed grid, such as catalogue.ddim(5), got {inner!r}")

    check.integer("langevin", langevin)
    check.number("rate", rate, above=0.0)
    c = scale_of_data(denoiser, data_std)
    chain = _chain(denoiser, shape, method, seed, cond, first)
    measurement.check_fits(chain.like)
    x = chain.normal(0) * chain.levels[0]
    last = float(-chain.levels[-1].log())
    count = len(chain.levels)
    one = torch.ones_like(chain.levels[0])

    def draw(xhat: Tensor, s: Tensor, k: int) -> Tensor:
        r = c * float(s) / (c**2 + float(s) ** 2) ** 0.5
        if measurement.operator.linear:
            return _exactly(measurement, xhat, r, chain, k)
        return _by_langevin(measurement, xhat, r, langevin, rate, chain, k)

    with torch.no_grad(), evaluating(denoiser):
        for k, s in enumerate(chain.levels):
            lam = float(-s.log())
            if lam < last:
                xhat = finished(denoiser, x, one, s, (lam, last), inner, chain.cond, None)
            else:
                xhat = _answer(denoiser, x, chain, k)
            x = draw(xhat, s, k)
            if not measurement.operator.linear and bool(xhat.isfinite().all()) and not bool(x.isfinite().all()):
                raise ValueError(f"`rate` must be smaller: Langevin steps of {rate:g} ran away at sigma {float(s):.3g}")
            if k + 1 < count:
                x = x + chain.levels[k + 1].to(x) * chain.normal(1 + k)

    check_finite(x)

    return x


def _chain(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    method: Method,
    seed: int,
    cond: Any,
    first: int,
) -> _Chain:
    """Check the arguments of a chain, and prepare its levels and noise."""
    shape = check.shape("shape", shape)
    check.integer("first", first, least=0, most=2**62)
    levels = noise_levels(denoiser, method)
    place, dtype = state_place(denoiser, None, None)
    like = torch.empty(shape, dtype=dtype, device=place)

    return _Chain(levels, SeededNoise(seed, first), like, conditions.prepared(cond, shape[0], place))


def _answer(denoiser: BaseDenoiser, x: Tensor, chain: _Chain, k: int) -> Tensor:
    """The prediction of x0 at level k."""
    s = chain.levels[k]
    return denoiser(x, torch.ones_like(s), s, chain.cond).x0


def _exactly(
    measurement: Measurement,
    xhat: Tensor,
    r: float,
    chain: _Chain,
    k: int,
) -> Tensor:
    """An exact draw of N(x0; xhat, r^2) N(y; A x0, std^2): a draw of the first factor plus a correction."""
    drawn = xhat + r * chain.normal(k, CORRECTOR)
    residual = measurement.residual(drawn)
    noise = chain.normal(k, PROBE, residual.shape)
    square = torch.tensor(r**2, dtype=torch.float64, device="cpu")
    u = measurement.operator.solve(residual + measurement.std * noise, square, measurement.std**2)

    return drawn + r**2 * measurement.operator.adjoint(u)


def _by_langevin(
    measurement: Measurement,
    xhat: Tensor,
    r: float,
    steps: int,
    rate: float,
    chain: _Chain,
    k: int,
) -> Tensor:
    """A draw of N(x0; xhat, r^2) N(y; A(x0), std^2) by Langevin steps from xhat."""
    length = rate / (1 / r**2 + 1 / measurement.std**2)
    x = xhat

    for j in range(steps):
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(measurement.log_prob(leaf).sum(), leaf)
        pull = gradient - (x - xhat) / r**2
        x = x + length * pull + (2 * length) ** 0.5 * chain.normal(k * steps + j, CORRECTOR)

    return x
