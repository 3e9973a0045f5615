"""A sampler is a choice of (process integrated along, split, solver, grid, eta), with options that use moments of the
data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from solvers import Compiled, Solver, Table, check
from solvers.adapters.base import Adapter

from ..processes.base import Process
from .frame import Frame
from .grids import Grid, Tolerance
from .reverse import Split
from .transforms import DenoiserTransform
from .wrappers.base import Wrapped, Wrapper

Eta = float | Callable[[float, float], float]


@dataclass(frozen=True)
class Method:
    """One sampler. Frozen and hashable; its repr is a benchmark key.

    process  the coordinates integrated along
    split    which part of the drift is treated as linear
    solver   a solver of `solvers`, or an adapter to another library. For an adapter the levels are output times; the
             library chooses its own steps
    grid     a grid of levels, or a `Tolerance` for adaptive steps
    n        number of noise levels of `sample` (n - 1 steps, then one denoise); None if steps are adaptive
    eta      noise in the equation: 0 the probability-flow ODE, 1 the reverse SDE; a callable (lam0, lam1) gives one
             value a step
    wrap     step wrappers (`wrappers`), applied in this order: churn, Restart, a Langevin corrector, noise of a larger
             variance
    frame    coordinates in which the flow of the data's Gaussian is constant (`Frame`), and the level at which steps
             begin; for eta 0 only
    transforms     transforms between the solver and the model (`transforms`); the first is nearest to the model
    final_denoise  whether `sample` ends with a denoise at the last level; False: it returns the state there, so that
                   n levels are n - 1 steps in `sample` and in `transport`
    """

    process: Process
    split: Split
    solver: Solver | Adapter
    grid: Grid | Tolerance
    n: int | None = None
    eta: Eta = 0.0
    wrap: tuple[Wrapper, ...] = ()
    frame: Frame | None = None
    transforms: tuple[DenoiserTransform, ...] = ()
    final_denoise: bool = True

    def __post_init__(self) -> None:
        if not (isinstance(self.grid, Tolerance) or callable(self.grid)):
            own = "levels of your own are grids.from_list([80.0, 1.0, 0.1], EDM()), the times of EDM being sigmas"
            raise TypeError(
                f"`grid` must be a grid of scoresde.grids or a Tolerance, got {type(self.grid).__name__}; {own}"
            )

        if isinstance(self.grid, Tolerance) != (self.n is None):
            raise ValueError(
                f"`n` must be a number of levels exactly when `grid` is one of levels, got n = {self.n!r} with"
                f" {self.grid!r}"
            )

        if self.n is not None:
            check.integer("n", self.n)

        if not callable(self.eta):
            check.number("eta", self.eta, least=0.0)

        if isinstance(self.solver, Adapter) and (self.wrap or callable(self.eta) or self.n is None):
            raise ValueError(
                f"`solver` must be a native one where steps are adaptive or wrapped or eta varies, got {self.solver!r}"
            )
        if self.wrap and (callable(self.eta) or self.n is None):
            raise ValueError(f"`wrap` must be empty where eta varies or steps are adaptive, got {self.wrap!r}")
        if not isinstance(self.frame, Frame | None):
            raise TypeError(
                f"`frame` must be a Frame or None, got {type(self.frame).__name__}; for example"
                " Frame(Moments.of(samples))"
            )
        if self.adds_noise and (callable(self.eta) or self.eta > 0 or self.split is not Split.FLOW):
            raise ValueError(
                "`eta` must be 0 and `split` Split.FLOW where a table adds noise to the steps of the flow, got"
                f" {self.eta!r} and {self.split!r}"
            )
        if self.frame is not None and (self.stochastic or self.wrap):
            raise ValueError(
                "`frame` must be None for a method with noise or wrappers, because the frame gives the flow alone, got"
                f" {self.frame!r}"
            )

        for transform in self.transforms:
            if not isinstance(transform, DenoiserTransform):
                raise TypeError(f"`transforms` must hold transforms of scoresde.samplers.transforms, got {transform!r}")
        answered = any(transform.saved_calls for transform in self.transforms)
        if answered and (self.n is None or self.wrap or isinstance(self.solver, Adapter)):
            raise ValueError(
                "`transforms` must not replace a model call where steps are adaptive, wrapped or another library's, got"
                f" {self.transforms!r}"
            )
        if not self.final_denoise and (self.n is None or self.n < 2):
            raise ValueError(f"`n` must be 2 levels or more for a method without a last denoise, got {self.n!r}")

        for wrapper in self.wrap:
            if not isinstance(wrapper, Wrapper):
                raise TypeError(f"`wrap` must hold wrappers of scoresde.samplers.wrappers, got {wrapper!r}")
            if wrapper.stochastic not in (None, self.stochastic):
                raise ValueError(
                    f"`eta` must be {'above 0' if wrapper.stochastic else '0'} with {wrapper!r}, got {self.eta!r}"
                )

    def describe(self) -> str:
        """The method in words, one sentence per line: the equation, the solver, the levels, the cost."""
        equation = "the probability-flow ODE"
        if self.adds_noise:
            equation += ", and adds noise after each step,"
        elif callable(self.eta):
            equation = f"the generative SDE with noise {self.eta!r} from step to step"
        elif self.eta > 0:
            equation = f"the generative SDE with eta = {self.eta:g}"

        steps = f"steps are chosen to meet {self.grid!r}"
        if self.n is not None:
            steps = f"{self.n} noise levels lie on {self.grid!r}"

        cost = "known only after a run" if self.calls is None else str(self.calls)
        lines = [
            f"Integrates {equation} along {self.process!r}, in the {self.split.name} split.",
            f"The solver is {self.solver!r}; {steps}.",
            *(f"Around each step: {wrapper!r}." for wrapper in self.wrap),
            *([f"It moves in {self.frame!r}."] if self.frame is not None else []),
            *(f"Between solver and model: {transform!r}." for transform in self.transforms),
            *([] if self.final_denoise else ["The last step ends at the last level; nothing is denoised after it."]),
            f"Network calls of a sample: {cost}.",
        ]
        return "\n".join(lines)

    @property
    def stochastic(self) -> bool:
        """Whether the equation has noise, or a table of coefficients adds some after each step."""
        return callable(self.eta) or self.eta > 0 or self.adds_noise

    @property
    def table(self) -> Table | None:
        """The solver if it is a table of coefficients, which has rows for its own steps only; None otherwise."""
        solver = self.solver.inner if isinstance(self.solver, Compiled) else self.solver
        return solver if isinstance(solver, Table) else None

    @property
    def adds_noise(self) -> bool:
        """Whether the solver is a table that adds its own noise to steps of the probability flow."""
        return self.table is not None and bool(self.table.stds)

    def around(self, source: Any, ask: Any) -> Solver | Adapter:
        """The solver inside its step wrappers.

        Args:
            source: noise source of the solve, from which wrappers draw.
            ask: (t, y) -> Prediction of the model, as in `wrappers.StepContext`.
        """
        if not self.wrap or callable(self.eta) or isinstance(self.solver, Adapter):
            return self.solver
        return Wrapped(
            self.solver,
            self.wrap,
            self.process,
            self.eta,
            source,
            ask,
        )

    def compiled(self) -> Method:
        """The same method with each step of the solver, the network included, as one compiled graph
        (`solvers.Compiled`). Step wrappers stay outside the graph.

        Raises ValueError naming `compile` if network calls would remain outside the graph."""

        answered = any(transform.saved_calls for transform in self.transforms)
        if (
            isinstance(self.solver, Adapter)
            or self.n is None
            or answered
            or any(wrapper.evaluates for wrapper in self.wrap)
        ):
            why = (
                "another library's steps"
                if isinstance(self.solver, Adapter)
                else "adaptive steps"
                if self.n is None
                else "a first call that the network does not answer"
                if answered
                else "network calls between steps"
            )
            raise ValueError(f"`compile` must be False for {why}, got True with {self!r}")

        return self if isinstance(self.solver, Compiled) else replace(self, solver=Compiled(self.solver))

    @property
    def calls(self) -> int | None:
        """Network calls of `sample`; None if steps are adaptive or chosen by another library."""
        spent = self._spent(self.n - 1) if self.n is not None else None
        return None if spent is None else spent + int(self.final_denoise)

    @property
    def transport_calls(self) -> int | None:
        """Network calls of a transport, which has no final denoise; None if steps are adaptive or chosen by another
        library."""
        return None if self.n is None else self._spent(self.n - 1 + self.more_levels)

    @property
    def more_levels(self) -> int:
        """Levels of a transport beyond the n of `sample`. It is 1 if `sample` ends with a denoise: a transport makes a
        step instead. It is 0 if there is no denoise, or if the solver is a table, which has no row for that step."""
        return int(self.final_denoise and self.table is None)

    def _spent(self, steps: int) -> int | None:
        solver = self.around(None, None)
        if isinstance(solver, Adapter):
            return None
        saved = sum(transform.saved_calls for transform in self.transforms)
        return solver.evaluations(steps) - saved if steps else 0


def with_last_step(method: Method) -> Method:
    """Replace the final denoise of a method by a step to one more level. The number of calls is the same.

    A method without a final denoise, or with adaptive steps, is returned unchanged.

    Args:
        method: the method.
    """
    if method.n is None or not method.final_denoise:
        return method
    return replace(method, n=method.n + 1, final_denoise=False)
