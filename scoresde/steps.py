"""What does not fit the five coordinates: things done around the steps of a solver.

Churn and Restart add noise and go back up, LargeVariance widens the noise of a step; Langevin moves (`langevin`) stay on one level.
A wrapper says what it does around each step of a grid; `Wrapped` is the solver that does it. Each step within is a solve of its
own, so that nothing the inner solver remembers outlives a change of the state: multistep methods start afresh in each.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from solvers import Equation, Noise, Sense, Solver, check
from solvers.noise import CHURN, Normals, Path
from solvers.solver import State, axpy

from .denoiser import Prediction
from .grids import Karras
from .process import Process

Ask = Callable[[Tensor, Tensor], Prediction]
Draw = Callable[[int, Tensor], Tensor]  # (index, y) -> standard normals shaped like y, the index-th of a stream
_SLOT = 24  # bits of the index below the wrapper's place in `Method.wrap`


class Ground(NamedTuple):
    """What a wrapper may use beside the equation: process and eta, the noise source of the solve, its own place among the wrappers.

    ask  (t, y) -> Prediction of the model, which is not called again when the solver asks the same next"""

    process: Process
    eta: float
    source: Any
    place: int
    ask: Ask

    def drawing(self, stream: int) -> Draw:
        """Normals of a stream. Raises ValueError naming `noise` where the source has none to give."""
        source, first = self.source, self.place << _SLOT
        if isinstance(source, Normals):
            return lambda index, y: source.draw(stream, first + index, y)
        raise ValueError(f"`noise` must be SeededNoise or WhiteNoise for a method with step wrappers, got {source!r}")


class Around(NamedTuple):
    """What one wrapper does around one step: where the step starts from and how the state gets there, its path there, and what follows."""

    start: Tensor | None = None
    before: Callable[[Tensor], Tensor] | None = None
    path: Callable[[Path, Tensor], Path] | None = None
    after: Callable[[Equation, Tensor], Tensor] | None = None


class Wrapper(ABC):
    """Abstract: something done around steps. Concrete ones are frozen dataclasses."""

    stochastic: ClassVar[bool | None] = None  # whether the equation must have noise (eta > 0), must have none, or either
    evaluates: ClassVar[bool] = False  # whether it asks the equation for values of its own, outside the solver's steps

    @abstractmethod
    def extra(self, calls: Callable[[int], int], n: int) -> int:
        """Model calls beside those of n steps, `calls` being the solver's."""

    @abstractmethod
    def around(self, solver: Solver, ground: Ground, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Around]:
        """What happens at each step of `times`; y only for its shape."""


@dataclass(frozen=True)
class Wrapped(Solver):
    """A solver whose steps have something done around them."""

    inner: Solver
    wrap: tuple[Wrapper, ...]
    process: Process
    eta: float
    source: Any
    ask: Ask

    reference: ClassVar[str] = "see the wrappers"

    @property
    def noise(self) -> Noise:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the inner solver."""
        return self.inner.noise

    @property
    def sense(self) -> Sense | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the inner solver."""
        return self.inner.sense

    @property
    def levy(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the inner solver."""
        return self.inner.levy

    @property
    def cuts(self) -> tuple[float, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the inner solver."""
        return self.inner.cuts

    def plan(self, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Any]:
        grounds = [Ground(self.process, self.eta, self.source, place, self.ask) for place in range(len(self.wrap))]
        moves = list(zip(*(w.around(self.inner, ground, eq, times, y) for w, ground in zip(self.wrap, grounds, strict=True)), strict=True))
        starts = [next((m.start for m in step if m.start is not None), t) for step, t in zip(moves, times, strict=False)]
        return [(Leg.of(self.inner, eq, torch.stack(ends), y), step) for *ends, step in zip(starts, times[1:], moves, strict=True)]

    def init(self, eq: Equation, t: Tensor, y: Tensor) -> State:
        return ()

    def step(
        self, eq: Equation, t0: Tensor, t1: Tensor, y: Tensor, state: State, noise: Path | None, w: Any
    ) -> tuple[Tensor, Tensor | None, State]:
        leg, moves = w
        for move in moves:
            y = y if move.before is None else move.before(y)
        for move in moves:
            noise = noise if move.path is None or noise is None else move.path(noise, y)
        y = leg(eq, y, noise)
        for move in moves:
            y = y if move.after is None else move.after(eq, y)
        return y, None, state

    def calls(self, n: int) -> int:
        return n * self.inner.calls(1) + sum(w.extra(self.inner.calls, n) for w in self.wrap)


@dataclass(frozen=True)
class Leg:
    """A short solve on its own grid, its weights made beforehand."""

    solver: Solver
    times: tuple[Tensor, ...]
    plan: Sequence[Any]

    @classmethod
    def of(cls, solver: Solver, eq: Equation, times: Tensor, y: Tensor) -> Leg:
        """Weights of `solver` on `times`."""
        return cls(solver, times.unbind(), solver.plan(eq, times, y))

    def __call__(self, eq: Equation, y: Tensor, noise: Path | None = None) -> Tensor:
        state = self.solver.init(eq, self.times[0], y)
        for t0, t1, w in zip(self.times[:-1], self.times[1:], self.plan, strict=True):
            y, _, state = self.solver.step(eq, t0, t1, y, state, noise, w)
        return y


class Lift(NamedTuple):
    """x -> keep x + std z: the forward process from one level up to a noisier one, exactly in law."""

    keep: Tensor
    std: Tensor

    @classmethod
    def between(cls, process: Process, low: Tensor, high: Tensor, s_noise: float) -> Lift:
        """From t = low to t = high: keep = alpha_1/alpha_0, std = s_noise sqrt(sigma_1^2 - keep^2 sigma_0^2)."""
        gained = -torch.expm1(2 * (process.lam(high) - process.lam(low)))
        return cls(process.alpha(high) / process.alpha(low), s_noise * process.sigma(high) * gained.clamp(min=0).sqrt())

    def __call__(self, y: Tensor, z: Tensor) -> Tensor:
        return axpy(y * self.keep.to(y.dtype), z, self.std)


@dataclass(frozen=True)
class Churn(Wrapper):
    """Before each step, noise is added up to sigma (1 + gamma), gamma = min(amount/levels, sqrt 2 - 1) where low <= sigma/alpha <= high.

    The step then runs from the raised level. For eta 0. Karras et al. 2022, arXiv:2206.00364, algorithm 2 (S_churn, S_min, S_max,
    S_noise); its last step is the final denoise here, made without churn."""

    amount: float = 40.0
    low: float = 0.05
    high: float = 50.0
    s_noise: float = 1.003

    stochastic: ClassVar[bool | None] = False

    def __post_init__(self) -> None:
        check.number("amount", self.amount, least=0.0)
        check.number("low", self.low, least=0.0)
        check.number("high", self.high, least=self.low)
        check.number("s_noise", self.s_noise, above=0.0)

    def extra(self, calls: Callable[[int], int], n: int) -> int:
        return 0

    def around(self, solver: Solver, ground: Ground, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Around]:
        process, draw = ground.process, ground.drawing(CHURN)
        lam = process.lam(times)
        noise = torch.exp(-lam)
        gamma = min(self.amount / len(times), 2**0.5 - 1) * ((noise >= self.low) & (noise <= self.high)).to(torch.float64)
        raised = process.time(lam - torch.log1p(gamma))

        def churned(k: int) -> Around:
            if gamma[k] == 0:
                return Around()
            lift = Lift.between(process, times[k], raised[k], self.s_noise)
            return Around(raised[k], lambda x: lift(x, draw(k, x)))

        return [churned(k) for k in range(len(times) - 1)]


@dataclass(frozen=True)
class Restart(Wrapper):
    """At the level nearest to `low`, `times` times: noise is added up to `high`, and `steps` Karras steps lead down again.

    low and high are sigma/alpha. For eta 0. Xu et al. 2023, arXiv:2306.14878, algorithm 1."""

    low: float = 0.06
    high: float = 0.3
    times: int = 2
    steps: int = 2
    rho: float = 7.0
    s_noise: float = 1.0

    stochastic: ClassVar[bool | None] = False

    def __post_init__(self) -> None:
        check.number("low", self.low, above=0.0)
        check.number("high", self.high, above=self.low)
        check.integer("times", self.times)
        check.integer("steps", self.steps)
        check.number("rho", self.rho, above=0.0)
        check.number("s_noise", self.s_noise, above=0.0)

    def extra(self, calls: Callable[[int], int], n: int) -> int:
        return self.times * calls(self.steps) if n else 0

    def around(self, solver: Solver, ground: Ground, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Around]:
        process, draw = ground.process, ground.drawing(CHURN)
        noise = torch.exp(-process.lam(times))
        at = int((noise[1:] - self.low).abs().argmin())
        bottom = noise[at + 1].item()
        if bottom >= self.high:
            raise ValueError(f"`high` must lie above the level restarted from, got {self.high:g} and {bottom:g}, the nearest level to low = {self.low:g}")
        down = process.time(Karras(self.rho)(self.steps + 1, -math.log(self.high), -math.log(bottom)))
        down[-1] = times[at + 1]
        lift, leg = Lift.between(process, down[-1], down[0], self.s_noise), Leg.of(solver, eq, down, y)

        def again(eq: Equation, x: Tensor) -> Tensor:
            for k in range(self.times):
                x = leg(eq, lift(x, draw(k, x)))
            return x

        return [Around(after=again) if k == at else Around() for k in range(len(times) - 1)]


@dataclass(frozen=True)
class LargeVariance(Wrapper):
    """The noise of each step widened by sqrt(beta/beta~), beta~ = (1 - abar_1)/(1 - abar_0) beta: DDPM's "large" variance. For eta 1.

    In any frame the factor is (sigma_0/r_0)/(sigma_1/r_1), r = hypot(alpha, sigma). Ho et al. 2020, arXiv:2006.11239, section 3.2."""

    stochastic: ClassVar[bool | None] = True

    def extra(self, calls: Callable[[int], int], n: int) -> int:
        return 0

    def around(self, solver: Solver, ground: Ground, eq: Equation, times: Tensor, y: Tensor) -> Sequence[Around]:
        share = torch.sigmoid(-2 * ground.process.lam(times)).sqrt()
        return [Around(path=lambda path, _, wider=wider: Wider(path, wider)) for wider in share[:-1] / share[1:]]


class Wider(NamedTuple):
    """A path scaled by a factor, or element by element."""

    path: Path
    factor: Tensor

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        dw = self.path(t0, t1)
        return dw * self.factor.to(dw.dtype)

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        dw, h = self.path.levy(t0, t1)
        return dw * self.factor.to(dw.dtype), h * self.factor.to(h.dtype)
