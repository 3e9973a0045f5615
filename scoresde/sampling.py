"""Samples: prior -> solve -> one final denoise.

The state starts as N(0, sigma^2 I) at the grid's first level, runs along the method's process to the last, and is denoised
there. Sample i depends on (seed, first + i) alone. A sampler writes no loop: it hands an `Equation` to `solvers`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from solvers import Adaptive, Equation, SeededNoise, Solution, Solver, Source, WhiteNoise, check, iterate, solve
from solvers.noise import PRIOR
from solvers.solver import cut

from .denoiser import BaseDenoiser, Prediction
from .grids import Fixed, Tolerance, warn_beyond
from .method import Method
from .process import Process
from .reverse import reverse
from .times import like
from .variance import Asked


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
    cond       handed to the denoiser, one entry per sample;  batch  chunk size, None: all at once
    dtype      of the state; default float64 for a float64 denoiser, float32 otherwise
    denoise    False keeps the noisy state at the last level (in the frame alpha = 1)
    compile    each step, the network in it, as one compiled graph, kept for later calls: the same samples to rounding

    The network runs in eval mode (restored after) and without gradients. Raises TypeError or ValueError naming the argument,
    solvers.SolveError when a sample is not finite."""
    shape = check.shape("shape", shape)
    size = shape[0] if batch is None else check.integer("batch", batch)
    check.integer("first", first, least=0, most=2**62)
    method = _check(denoiser, method, compile)
    parts: list[Tensor] = []
    for i in range(0, shape[0], size):
        part = (min(size, shape[0] - i), *shape[1:])
        rows = None if cond is None else cond[i : i + size]
        plan, x = _begin(denoiser, part, method, seed, device, generator, rows, first + i, dtype)
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
    process = method.process
    return ((process.lam(t), x / like(_radius(process, t), x)) for t, x in plan.states(start))


class Plan:
    """One batch on its way: levels, times, equation segments and noise, checked and ready."""

    def __init__(self, denoiser: BaseDenoiser, method: Method, cond: Any, lams: Tensor, like_y: Tensor, source: Any):
        self.denoiser, self.method, self.cond, self.lams = Asked(denoiser) if method.wrap else denoiser, method, cond, lams
        warn_beyond(denoiser.process, lams)
        self.times = method.process.time(lams)
        if not bool(self.times.isfinite().all()):
            flow = "Split.FLOW along RectifiedFlow() does, and Euler() there is DDIM"
            raise ValueError(f"`method` must run along a process that reaches the level lam = {lams.min().item():g}, got {method.process!r}; {flow}")
        stochastic = method.stochastic
        if stochastic and not bool(method.process.alpha(self.times[0]) > 0):
            raise ValueError(f"`method` must have eta = 0 to start where alpha vanishes, where the noise of {method.process!r} is singular, got {method.eta!r}")
        self.noise, self.solver = source, method.around(source, self._ask)
        if isinstance(method.solver, Solver) and isinstance(source, Source) and stochastic and len(lams) > 1:
            self.noise = source.on(cut(self.times, method.solver.cuts), like_y)
        self.segments = list(self._segments()) if len(lams) > 1 else []

    def _ask(self, t: Tensor, y: Tensor) -> Prediction:
        """What the model says of a state on the way; see `steps.Ground`."""
        process = self.method.process
        return cast(Asked, self.denoiser).ask(y, process.alpha(t), process.sigma(t), self.cond)

    def _segments(self) -> Iterator[tuple[Equation, Tensor | Adaptive]]:
        """One equation for all steps, or one a step where eta varies."""
        m, times, lams = self.method, self.times, self.lams
        if isinstance(m.grid, Tolerance):
            eq = reverse(m.process, self.denoiser, 0.0, m.split, self.cond)
            yield eq, Adaptive(times[0].item(), times[-1].item(), m.grid.rtol, m.grid.atol, max_evals=m.grid.max_evals)
        elif callable(m.eta):
            for k in range(len(times) - 1):
                eta = m.eta(lams[k].item(), lams[k + 1].item())
                yield reverse(m.process, self.denoiser, eta, m.split, self.cond), times[k : k + 2]
        else:
            yield reverse(m.process, self.denoiser, m.eta, m.split, self.cond), times

    def run(self, x: Tensor, save: bool = False) -> list[Solution]:
        """The solutions of all segments, one after the other; `save` keeps the state at every level."""
        solutions: list[Solution] = []
        with evaluating(self.denoiser), torch.no_grad():
            for eq, steps in self.segments:
                kept = steps if save and isinstance(steps, Tensor) else None
                solutions.append(solve(eq, x, self.solver, steps, noise=None if eq.g is None else self.noise, save=kept))
                x = solutions[-1].y
        return solutions

    def states(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(t, x) at the start and after every step."""
        yield self.times[0], x
        for eq, steps in self.segments:
            states = iterate(eq, x, self.solver, steps, noise=None if eq.g is None else self.noise)
            while True:
                with evaluating(self.denoiser), torch.no_grad():
                    pair = next(states, None)
                if pair is None:
                    break
                x = pair[1]
                yield pair

    def end(self, x: Tensor, denoise: bool) -> Tensor:
        """The state at the last level denoised, or as it is in the frame alpha = 1."""
        process, t = self.method.process, self.times[-1]
        with evaluating(self.denoiser), torch.no_grad():
            return self.denoiser(x, process.alpha(t), process.sigma(t), self.cond).x0 if denoise else x / like(process.alpha(t), x)


def levels(denoiser: BaseDenoiser, method: Method, extra: int = 0) -> Tensor:
    """lam of the method's levels: those its grid fixes, or over the range of the denoiser's training process, or of its own where there is none."""
    home = method.process if denoiser.process is None else denoiser.process
    first, last = (float(home.lam(t)) for t in (home.t_noise, home.t_data))
    if method.n is None or isinstance(method.grid, Tolerance):
        return torch.tensor([first, last], dtype=torch.float64)
    return method.grid.own(method.n + extra) if isinstance(method.grid, Fixed) else method.grid(method.n + extra, first, last)


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
    plan = Plan(denoiser, method, cond, levels(denoiser, method), z, source)
    return plan, z * like(method.process.sigma(plan.times[0]), z)


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


def _radius(process: Process, t: Any) -> Tensor:
    """sqrt(alpha^2 + sigma^2): states at equal lam differ by its ratio."""
    return (process.alpha(t) ** 2 + process.sigma(t) ** 2).sqrt()


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
    ends = [_level(process, name, t) for name, t in (("t0", t0), ("t1", t1))]
    adaptive = method.n is None or isinstance(method.grid, Tolerance)
    if save and adaptive:
        raise ValueError(f"`save` must be False for an adaptive method, whose samples have no common times, got True for {method!r}")
    lams = torch.tensor(ends, dtype=torch.float64) if adaptive else method.grid(method.n + 1, *ends)  # pyright: ignore
    plan = Plan(denoiser, method, cond, lams, x, noise)
    start = x * like(_radius(method.process, plan.times[0]) / _radius(process, t0), x)
    back = _radius(process, t1) / _radius(method.process, plan.times[-1])
    parts = plan.run(start, save)
    total: dict[str, Any] = {name: sum(getattr(p, name) for p in parts) for name in ("evals", "calls", "g_calls", "accepted", "rejected")}
    if save:
        ys = torch.cat([start.unsqueeze(0), *(cast(Tensor, p.ys)[1:] for p in parts)])
        scales = _radius(process, process.time(lams)) / _radius(method.process, plan.times)
        total |= {"ts": process.time(lams), "ys": torch.stack([y * like(c, y) for y, c in zip(ys, scales, strict=True)])}
    return replace(parts[-1], t=torch.tensor(float(t1), dtype=torch.float64), y=parts[-1].y * like(back, x), **total)


def encode(denoiser: BaseDenoiser, x: Tensor, method: Method, *, cond: Any = None) -> Tensor:
    """The latent of x: the probability flow from the last level to the first, as a draw of N(0, I). Deterministic methods only.

    x (B, ...) is a state of the last level in the frame alpha = 1, as `sample(..., denoise=False)` returns it; data will do where
    the last sigma is small. n levels, n - 1 steps, no denoising."""
    _check(denoiser, method)
    plan = Plan(denoiser, method, cond, levels(denoiser, method).flip(0), check.state("x", x), None)
    start, end = (plan.times[k] for k in (0, -1))
    solutions = plan.run(x * like(method.process.alpha(start), x))
    return solutions[-1].y / like(method.process.sigma(end), x)


def decode(denoiser: BaseDenoiser, z: Tensor, method: Method, *, cond: Any = None, denoise: bool = True) -> Tensor:
    """The sample of a latent z ~ N(0, I): what `sample` makes of its own noise. Inverse to `encode` up to the solver's error."""
    _check(denoiser, method)
    plan = Plan(denoiser, method, cond, levels(denoiser, method), check.state("z", z), None)
    x = z * like(method.process.sigma(plan.times[0]), z)
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


@contextmanager
def evaluating(module: torch.nn.Module) -> Generator[None, None, None]:
    """Eval mode, each submodule's own mode restored after: dropout would make an adaptive error estimate never fall."""
    modes = {m: m.training for m in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for m, mode in modes.items():
            m.training = mode


def _place(denoiser: BaseDenoiser, device: Any, dtype: torch.dtype | None) -> tuple[torch.device, torch.dtype]:
    """Device and state dtype that fit the denoiser."""
    tensors = [t for t in (*denoiser.parameters(), *denoiser.buffers()) if t.is_floating_point()]
    home = tensors[0].device if tensors else torch.device("cpu")
    place = home if device is None else torch.device(device)
    if tensors and place.type != home.type:
        raise ValueError(f"`device` must be the denoiser's {home}, got {place}; call denoiser.to({str(place)!r}) first")
    if dtype is None:
        dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
    return place, dtype
