"""Samples: prior -> solve -> one final denoise.

The state starts as N(0, sigma^2 I) at the grid's first level, runs along the method's process to the last, and is denoised
there. Sample i depends on (seed, first + i) alone. A sampler writes no loop: it hands an `Equation` to `solvers`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from solvers import SeededNoise, Solution, Source, WhiteNoise, check
from solvers.noise import PRIOR

from . import conditions
from .denoiser import BaseDenoiser
from .grids import Fixed, Tolerance
from .method import Method
from .plan import Plan as Plan
from .plan import between, home, reaches_noise
from .plan import evaluating as evaluating
from .plan import levels as levels
from .process import Process
from .times import like

_STATES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def sample(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    method: Method,
    seed: int | None = 0,
    device: Any = None,
    *,
    generator: torch.Generator | None = None,
    cond: Any = None,
    first: int = 0,
    batch: int | None = None,
    dtype: torch.dtype | None = None,
    denoise: bool = True,
    compile: bool = False,
) -> Tensor:
    """Draw samples of shape (B, ...) from `denoiser` by `method`.

    seed       sample i is a function of (seed, first + i): the same in any batch, chunk or process
    generator  with seed=None: plain normals from this generator instead, faster and not reproducible per sample
    cond       handed to the denoiser: a tensor, or a dict, list or tuple of them, with one entry per sample; a number holds for all
    batch      chunk size, None: all at once
    dtype      of the state; default float64 for a float64 denoiser, float32 otherwise
    denoise    False keeps the noisy state at the last level (in the frame alpha = 1)
    compile    each step, the network in it, as one compiled graph, kept for later calls: the same samples to rounding

    The network runs in eval mode (restored after) and without gradients. Raises TypeError or ValueError naming the argument,
    solvers.SolveError when a sample is not finite."""
    shape = check.shape("shape", shape)
    size = shape[0] if batch is None else check.integer("batch", batch)
    check.integer("first", first, least=0, most=2**62)
    method = _check(denoiser, method, compile)
    cond = conditions.prepared(cond, shape[0])
    parts: list[Tensor] = []
    for i in range(0, shape[0], size):
        part = (min(size, shape[0] - i), *shape[1:])
        rows = slice(i, i + size)
        plan, x = _begin(denoiser, part, method, seed, device, generator, conditions.rows(cond, rows), first + i, dtype)
        solutions = plan.run(x)
        parts.append(plan.end(solutions[-1].y if solutions else x, denoise))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def trajectory(
    denoiser: BaseDenoiser,
    shape: Sequence[int],
    method: Method,
    seed: int | None = 0,
    device: Any = None,
    *,
    generator: torch.Generator | None = None,
    cond: Any = None,
    first: int = 0,
    dtype: torch.dtype | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (lam, x) from the first level to the last, x in the frame alpha^2 + sigma^2 = 1, where all levels are one scale.

    Arguments as in `sample`. lam is 0-d, or (B,) where the method is adaptive."""
    plan, start = _begin(denoiser, check.shape("shape", shape), method, seed, device, generator, cond, first, dtype)
    return ((method.process.lam(t), plan.seen(x, t)) for t, x in plan.states(start))


def _begin(
    denoiser: BaseDenoiser,
    shape: tuple[int, ...],
    method: Method,
    seed: int | None,
    device: Any,
    generator: torch.Generator | None,
    cond: Any,
    first: int,
    dtype: torch.dtype | None,
) -> tuple[Plan, Tensor]:
    """A plan from the prior, and its start."""
    _check(denoiser, method)
    if (seed is None) == (generator is None):
        raise ValueError(f"`seed` must be None exactly when a generator is given, got seed = {seed!r} and {'a' if generator else 'no'} generator")
    place, kind = _place(denoiser, device, dtype)
    if seed is not None:
        source: Source = SeededNoise(seed, first)
        z = SeededNoise(seed, first).normal(PRIOR, range(1), shape, kind, place)[0]
    else:
        assert generator is not None
        source = white = WhiteNoise(generator)
        z = white.normal(shape, kind, place)
    plan = _plan(denoiser, method, cond, z, source)
    return plan, plan.prior(z)


def _plan(denoiser: BaseDenoiser, method: Method, cond: Any, state: Tensor, source: Any, backward: bool = False) -> Plan:
    """A plan over the denoiser's own range, or back over it."""
    lams = levels(denoiser, method)
    first, last = (float(lams[0]), float(lams[-1])) if isinstance(method.grid, Fixed) else home(denoiser, method)
    return Plan(denoiser, method, cond, *((lams.flip(0), state, source, (last, first)) if backward else (lams, state, source, (first, last))))


def _check(denoiser: Any, method: Any, compile: bool = False) -> Method:
    """The method that runs."""
    if not isinstance(denoiser, BaseDenoiser):
        raise TypeError(f"`denoiser` must be a Denoiser, got {type(denoiser).__name__}; wrap a plain score with Denoiser.from_score(score, process)")
    if not isinstance(method, Method):
        raise TypeError(f"`method` must be a Method, got {method!r}; for example catalogue.ddim(20)")
    return method.compiled() if compile else method


def _level(process: Process, name: str, t: Any) -> float:
    """lam at a time where there is noise."""
    lam = float(process.lam(check.number(name, t)))
    if not lam < math.inf:
        raise ValueError(f"`{name}` must be a time of {process!r} at which there is noise, got {t!r}")
    return lam


def transport(
    denoiser: BaseDenoiser,
    x: Tensor,
    method: Method,
    process: Process,
    t0: float,
    t1: float,
    noise: Any = None,
    *,
    cond: Any = None,
    save: bool = False,
    compile: bool = False,
) -> Solution:
    """Carry a state x of `process` at t0 to t1 along the method's own coordinates; nothing is denoised at the end.

    Either direction for eta 0. The grid is asked for n + 1 levels, so that n steps are made. x is rescaled at equal lam; y and, with
    `save`, ts and ys come back in the terms of `process`. noise: as in `solvers.solve`, in the times of method.process. compile: as in `sample`.
    Example: transport(D, 80 z, catalogue.ddim(10), EDM(), 80.0, 0.002) for x = x0 + s eps. Raises as `sample`."""
    method = _check(denoiser, method, compile)
    x = check.state("x", x)
    ends = _level(process, "t0", t0), _level(process, "t1", t1)
    for name, t, lam in (("t0", t0, ends[0]), ("t1", t1, ends[1])):
        if lam == -math.inf and not reaches_noise(method):
            said = f"`{name}` must be a time of {process!r} at which there is signal, got {t!r}"
            raise ValueError(f"{said}: this method does not reach pure noise; stop short of it, or take catalogue.euler(n)")
    if save and (method.n is None or isinstance(method.grid, Tolerance)):
        raise ValueError(f"`save` must be False for an adaptive method, whose samples have no common times, got True for {method!r}")
    lams = between(method, ends, 1)
    plan = Plan(denoiser, method, cond, lams, x, noise, ends)
    start = plan.enter(x, process.alpha(t0), process.sigma(t0))
    parts = plan.run(start, save)
    total: dict[str, Any] = {name: sum(getattr(p, name) for p in parts) for name in ("evals", "calls", "g_calls", "accepted", "rejected")}
    if save:
        ys = torch.cat([start.unsqueeze(0), *(cast(Tensor, p.ys)[1:] for p in parts)])
        own = process.time(lams)
        total |= {"ts": own, "ys": torch.stack([plan.leave(y, t, process.alpha(o), process.sigma(o)) for y, t, o in zip(ys, plan.times, own, strict=True)])}
    y = plan.leave(parts[-1].y, plan.times[-1], process.alpha(t1), process.sigma(t1))
    return replace(parts[-1], t=torch.tensor(float(t1), dtype=torch.float64, device="cpu"), y=y, **total)


def encode(denoiser: BaseDenoiser, x: Tensor, method: Method, *, cond: Any = None) -> Tensor:
    """The latent of x: the probability flow from the last level to the first, as a draw of N(0, I). Deterministic methods only.

    x (B, ...) is a state of the last level in the frame alpha = 1, as `sample(..., denoise=False)` returns it; data will do where
    the last sigma is small. n levels, n - 1 steps, no denoising."""
    _check(denoiser, method)
    plan = _plan(denoiser, method, cond, check.state("x", x), None, backward=True)
    along = method.process
    start, end = plan.first, plan.last
    solutions = plan.run(plan.enter(x * like(along.alpha(start), x), along.alpha(start), along.sigma(start)))
    return plan.leave(solutions[-1].y, plan.times[-1], along.alpha(end), along.sigma(end)) / like(along.sigma(end), x)


def decode(denoiser: BaseDenoiser, z: Tensor, method: Method, *, cond: Any = None, denoise: bool = True) -> Tensor:
    """The sample of a latent z ~ N(0, I): what `sample` makes of its own noise. Inverse to `encode` up to the solver's error."""
    _check(denoiser, method)
    plan = _plan(denoiser, method, cond, check.state("z", z), None)
    x = plan.prior(z)
    solutions = plan.run(x)
    return plan.end(solutions[-1].y if solutions else x, denoise)


def interpolate(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """Spherical interpolation between latents, sample by sample: a at 0, b at 1, the norm of a normal draw between.

    sin((1-w) th)/sin(th) a + sin(w th)/sin(th) b, th the angle between them. Shoemake 1985."""
    flat_a, flat_b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    cosine = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1))
    angle = cosine.clamp(-1, 1).acos()
    straight = angle.sin() < 1e-6
    safe = torch.where(straight, torch.ones_like(angle), angle.sin())
    left = torch.where(straight, torch.full_like(angle, 1 - weight), ((1 - weight) * angle).sin() / safe)
    right = torch.where(straight, torch.full_like(angle, weight), (weight * angle).sin() / safe)
    return a * like(left, a) + b * like(right, b)


def _place(denoiser: BaseDenoiser, device: Any, dtype: torch.dtype | None) -> tuple[torch.device, torch.dtype]:
    """Device and state dtype that fit the denoiser."""
    tensors = [t for t in (*denoiser.parameters(), *denoiser.buffers()) if t.is_floating_point()]
    home = tensors[0].device if tensors else torch.device("cpu")
    place = home if device is None else torch.device(device)
    if tensors and place.type != home.type:
        raise ValueError(f"`device` must be the denoiser's {home}, got {place}; call denoiser.to({str(place)!r}) first")
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype in _STATES):
        raise TypeError(f"`dtype` must be torch.float32, float64, float16 or bfloat16, got {dtype!r}")
    if dtype is None:
        dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
    return place, dtype
