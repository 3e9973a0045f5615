"""Editing: noise is added to a given sample, and the sampler starts from the noisy sample."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from solvers import SeededNoise, check
from solvers.noise import PRIOR

from ..denoisers.denoiser import BaseDenoiser
from .method import Method
from .plan import Plan, check_method
from .ranges import between
from .transport import level

_OWN = range(2, 3)  # other noise than that from which `sample` starts with this seed: x may be one of its samples


def edit(
    denoiser: BaseDenoiser,
    x: Tensor,
    t: float,
    method: Method,
    seed: int = 0,
    *,
    cond: Any = None,
    first: int = 0,
) -> Tensor:
    """Noise clean samples to time t of the training process, and sample from that state: SDEdit.

    The smaller the noise at t, the closer the result is to x. Uses: repair, variation, transfer of a style. Meng et al.
    2022, arXiv:2108.01073.

    Args:
        denoiser: the model; it must know its training process.
        x: clean samples, (B, ...).
        t: time of the training process, to which the noise is added.
        method: a `Method`, such as catalogue.unipc(10). It makes n network calls for any t.
        seed: of the noise; sample i is a function of (seed, first + i).
        cond: condition of each sample, or None (`denoisers.conditions`).
        first: index of the first sample.

    Returns:
        Samples, (B, ...).

    Raises:
        TypeError, ValueError: naming the argument; solvers.SolveError when a sample is not finite.
    """

    method = check_method(denoiser, method)
    x = check.state("x", x)
    process = denoiser.process
    if process is None:
        raise ValueError("`denoiser` must know its training process, whose time t is, got one with process None")

    ends = level(process, "t", t), float(process.lam(process.t_data))
    if not ends[0] < ends[1]:
        raise ValueError(f"`t` must be noisier than the clean end {float(process.t_data):g}, got {t:g}")

    source = SeededNoise(seed, first)
    eps = source.normal(PRIOR, _OWN, tuple(x.shape), x.dtype, x.device)[0]
    noisy = process.perturb(x, t, eps)

    return finished(denoiser, noisy, process.alpha(t), process.sigma(t), ends, method, cond, source)


def finished(
    denoiser: BaseDenoiser,
    x: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    ends: tuple[float, float],
    method: Method,
    cond: Any,
    source: Any,
) -> Tensor:
    """Sample with a method that starts from given noisy states. Its levels lie between the two ends; the last state is
    denoised.

    Args:
        denoiser: the model, a `BaseDenoiser`.
        x: states alpha x0 + sigma eps, (B, ...).
        alpha: signal coefficient, 0-d.
        sigma: noise coefficient, 0-d.
        ends: lam of the states x, and lam of the last level.
        method: a `Method`, such as catalogue.unipc(10).
        cond: condition of each sample, or None.
        source: the noise source of the method.
    """

    plan = Plan(denoiser, method, cond, between(method, ends), x, source, ends)
    start = plan.enter(x, alpha, sigma)
    solutions = plan.run(start)

    return plan.end(solutions[-1].y if solutions else start, True)
