"""Samples: prior -> solve -> one final denoise.

The state starts as N(0, sigma^2 I) at the grid's first level, runs along the method's process to the last, and is denoised
there. Sample i depends on (seed, first + i) alone. A sampler writes no loop: it hands an `Equation` to `solvers`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from solvers import Adaptive, Equation, SeededNoise, Source, WhiteNoise, check, iterate, solve
from solvers.noise import PRIOR

from .denoiser import BaseDenoiser
from .grids import Tolerance
from .method import Method
from .reverse import reverse
from .times import like


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
) -> Tensor:
    """Draw samples of shape (B, ...) from `denoiser` by `method`.

    seed       sample i is a function of (seed, first + i): the same in any batch, chunk or process
    generator  with seed=None: plain normals from this generator instead, faster and not reproducible per sample
    cond       handed to the denoiser, one entry per sample;  batch  chunk size, None: all at once
    dtype      of the state; default float64 for a float64 denoiser, float32 otherwise
    denoise    False keeps the noisy state at the last level (in the frame alpha = 1)

    The network runs in eval mode (restored after) and without gradients. Raises TypeError or ValueError naming the argument,
    solvers.SolveError when a sample is not finite."""
    shape = check.shape("shape", shape)
    size = shape[0] if batch is None else check.integer("batch", batch)
    check.integer("first", first, least=0, most=2**62)
    starts = range(0, shape[0], size)
    parts: list[Tensor] = []
    for i in starts:
        part = (min(size, shape[0] - i), *shape[1:])
        rows = None if cond is None else cond[i : i + size]
        plan = Plan(denoiser, part, method, seed, device, generator, rows, first + i, dtype)
        parts.append(plan.sample(denoise))
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
    return Plan(denoiser, check.shape("shape", shape), method, seed, device, generator, cond, first, dtype).trajectory()


class Plan:
    """One batch on its way: equation segments, times, start and noise, checked and ready."""

    def __init__(
        self,
        denoiser: BaseDenoiser,
        shape: tuple[int, ...],
        method: Method,
        seed: int | None,
        device: Any,
        generator: torch.Generator | None,
        cond: Any,
        first: int,
        dtype: torch.dtype | None,
    ):
        if not isinstance(denoiser, BaseDenoiser):
            raise TypeError(f"`denoiser` must be a Denoiser, got {type(denoiser).__name__}; wrap a plain score with Denoiser.from_score(score, process)")
        if not isinstance(method, Method):
            raise TypeError(f"`method` must be a Method, got {method!r}; for example catalogue.ddim(20)")
        if (seed is None) == (generator is None):
            raise ValueError(f"`seed` must be None exactly when a generator is given, got seed = {seed!r} and {'a' if generator else 'no'} generator")
        self.denoiser, self.method, self.cond = denoiser, method, cond
        self.device, self.dtype = _place(denoiser, device, dtype)
        home = method.process if denoiser.process is None else denoiser.process
        ends = [float(home.lam(t)) for t in (home.t_noise, home.t_data)]
        lams = torch.tensor(ends, dtype=torch.float64) if isinstance(method.grid, Tolerance) or method.n is None else method.grid(method.n, *ends)
        self.times = method.process.time(lams)
        if seed is not None:
            source: Source = SeededNoise(seed, first)
            z = SeededNoise(seed, first).normal(PRIOR, range(1), shape, self.dtype, self.device)[0]
        else:
            assert generator is not None
            source = white = WhiteNoise(generator)
            z = white.normal(shape, self.dtype, self.device)
        self.start = z * like(method.process.sigma(self.times[0]), z)
        stochastic = callable(method.eta) or method.eta > 0
        if stochastic and not bool(method.process.alpha(self.times[0]) > 0):
            raise ValueError(f"`method` must have eta = 0 to start where alpha vanishes, where the noise of {method.process!r} is singular, got {method.eta!r}")
        self.noise = source.on(self.times, self.start) if stochastic and len(self.times) > 1 else None
        self.segments = list(self._segments(lams)) if len(self.times) > 1 else []

    def _segments(self, lams: Tensor) -> Iterator[tuple[Equation, Tensor | Adaptive]]:
        """One equation for all steps, or one a step where eta varies."""
        m, times = self.method, self.times
        if isinstance(m.grid, Tolerance):
            eq = reverse(m.process, self.denoiser, 0.0, m.split, self.cond)
            yield eq, Adaptive(times[0].item(), times[-1].item(), m.grid.rtol, m.grid.atol, max_evals=m.grid.max_evals)
        elif callable(m.eta):
            for k in range(len(times) - 1):
                eta = m.eta(lams[k].item(), lams[k + 1].item())
                yield reverse(m.process, self.denoiser, eta, m.split, self.cond), times[k : k + 2]
        else:
            yield reverse(m.process, self.denoiser, m.eta, m.split, self.cond), times

    def sample(self, denoise: bool) -> Tensor:
        """Run to the end."""
        x = self.start
        with evaluating(self.denoiser), torch.no_grad():
            for eq, steps in self.segments:
                x = solve(eq, x, self.method.solver, steps, noise=None if eq.g is None else self.noise).y
            alpha, sigma = self.method.process.alpha(self.times[-1]), self.method.process.sigma(self.times[-1])
            return self.denoiser(x, alpha, sigma, self.cond).x0 if denoise else x / like(alpha, x)

    def trajectory(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Run to the end, showing every state."""
        x = self.start
        yield self._shown(self.times[0], x)
        for eq, steps in self.segments:
            states = iterate(eq, x, self.method.solver, steps, noise=None if eq.g is None else self.noise)
            while True:
                with evaluating(self.denoiser), torch.no_grad():
                    pair = next(states, None)
                if pair is None:
                    break
                t, x = pair
                yield self._shown(t, x)

    def _shown(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        process = self.method.process
        return process.lam(t), x / like((process.alpha(t) ** 2 + process.sigma(t) ** 2).sqrt(), x)


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
