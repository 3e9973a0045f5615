"""Problems with exact answers, and every solver and process there is, found by walking the classes."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
import pkgutil
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

import scoresde
import solvers
from scoresde import CustomProcess, ddpm, exact
from scoresde.processes.base import Process
from solvers import Equation, Noise, solve
from solvers.adapters.base import Adapter
from solvers.solver import Solver
from solvers.tableau import RungeKutta

F64 = torch.float64


# -- what there is
# ---------------------------------------------------------------------------------------------------------


def load(package) -> None:
    """Import the modules of a package, so that the classes in them can be found; not what parses a command line."""
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not {"__main__", "cli"} & set(module.name.split(".")):
            importlib.import_module(module.name)


def classes(base: type, package: str) -> list[type]:
    """All strict subclasses of `base` defined in `package`, in a stable order."""
    seen: dict[str, type] = {}
    stack = [base]
    while stack:
        for sub in stack.pop().__subclasses__():
            stack.append(sub)
            if sub.__module__.split(".")[0] == package:
                seen[f"{sub.__module__}.{sub.__qualname__}"] = sub
    return [seen[name] for name in sorted(seen)]


def variants(cls: type) -> Iterator:
    """The default object and the others that its switches, small integers and starters make, as far as the constructor
    takes them."""
    choices = []
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if isinstance(field.default, bool):
            choices.append((field.name, (field.default, not field.default)))
        elif isinstance(field.default, int) or (required and field.type in (int, "int")):
            choices.append(
                (
                    field.name,
                    (() if required else (field.default,)) + tuple(k for k in range(1, 7) if k != field.default),
                )
            )
        elif field.default is None and "Solver" in str(field.type):
            choices.append((field.name, (None, solvers.exponential.ExpRK3())))
    names = [name for name, _ in choices]
    for values in itertools.product(*(options for _, options in choices)):
        try:
            yield cls(**dict(zip(names, values, strict=True)))
        except (TypeError, ValueError):
            continue


def order(solver: Solver) -> int:
    """The declared order of convergence, start-up included."""
    return getattr(solver, "global_order", solver.order)


def most(solver: Solver) -> float:
    """The order it may seem to have: a multistep method's own, until the error of its start-up shows."""
    return max(order(solver), solver.order + 1) if type(solver).__module__ == "solvers.adams" else order(solver)


def noise(solver: Solver) -> Noise:
    """The most general noise a solver takes, its starter included."""
    start = getattr(solver, "start", None)
    return solver.noise if start is None else min(solver.noise, noise(start))


def found(base: type, package: str) -> list[list]:
    """For every final class what can be made of it from defaults and small choices."""
    final = [cls for cls in classes(base, package) if not inspect.isabstract(cls) and dataclasses.is_dataclass(cls)]
    return [made for cls in final if (made := list(variants(cls)))]


load(solvers)
load(scoresde)
_made: list[list[Solver]] = found(Solver, "solvers")
SOLVERS: list[Solver] = [
    each for made in _made for each in ([made[0], made[len(made) // 2], made[-1]] if len(made) > 3 else made)
]
MORE_SOLVERS: list[Solver] = [each for made in _made for each in made if each not in SOLVERS]
ADAPTERS: list[Adapter] = [made[0] for made in found(Adapter, "solvers")]
PROCESSES: list[Process] = [made[0] for made in found(Process, "scoresde")]
TABLEAUX: list[RungeKutta] = [s for s in SOLVERS if isinstance(s, RungeKutta)]
EMBEDDED: list[RungeKutta] = [s for s in TABLEAUX if s.embedded is not None]
STOCHASTIC: list[Solver] = [s for s in SOLVERS if noise(s) > Noise.NONE]
EXPONENTIAL: list[Solver] = [s for s in SOLVERS if type(s).__module__ in ("solvers.exponential", "solvers.adams")]
OWN: list[Process] = [  # a process needs arguments: chains, and a user's two functions, t running either way
    ddpm.linear(50),
    ddpm.zero_terminal_snr(ddpm.linear(50)),
    CustomProcess(lambda t: torch.cos(1.5 * t), lambda t: 0.7 * torch.sin(1.5 * t) + t**3, t_noise=1.0, t_data=1e-3),
    CustomProcess(lambda t: t, lambda t: 1 - t, t_noise=0.0, t_data=0.999),
]
TOWARD_NOISE: list[Process] = [p for p in PROCESSES + OWN if p.t_noise > p.t_data]


# -- smooth nonlinear equations with coefficients of order one, solved in closed form
# ---------------------------------------


def logistic(a: float | Tensor = 0.0) -> Equation:
    """y' = y (1 - y), of which a y is called linear."""
    return Equation(lambda t, y: y * (1 - a) - y * y, a=a)


def logistic_exact(y0: Tensor, t: float) -> Tensor:
    """y(t) from y(0) = y0."""
    return y0 / (y0 + (1 - y0) * np.exp(-t))


@dataclasses.dataclass(frozen=True)
class Smooth:
    """y' = f(t, y) and its exact states (5, B, d) at five times, so that no error constant hides by vanishing at
    one."""

    f: Callable[[Tensor, Tensor], Tensor]
    times: Tensor
    states: Tensor

    def equation(self, a: float | Tensor) -> Equation:
        """The equation with a y called linear."""
        return Equation((lambda t, y: self.f(t, y) - a * y) if isinstance(a, Tensor) or a else self.f, a=a)

    def errors(
        self, solver: Solver, a: float | Tensor = 0.0, direction: int = 1, floor: float = 1e-14, back: bool = False
    ) -> list[float]:
        """Root-mean-square errors at these times on 4, 8, ..., 512 steps, until one falls to rounding; `back`: of the
        way back."""
        times, states = (self.times, self.states) if direction > 0 else (self.times.flip(0), self.states.flip(0))
        errors: list[float] = []
        while len(errors) < 8 and (not errors or errors[-1] > floor):
            n = 4 * 2 ** len(errors)
            grid = torch.linspace(times[0].item(), times[-1].item(), n + 1, dtype=F64)
            grid[:: n // 4] = times
            ys = solve(self.equation(a), states[0], solver, grid, strict=False, save=times).ys
            if back:
                ys = solve(self.equation(a), ys[-1], solver, grid.flip(0), strict=False, save=times).ys
            errors.append((ys - states).square().mean().sqrt().item())
        return errors


def _orbit(t: Tensor, y: Tensor) -> Tensor:
    q, p = y[:, :2], y[:, 2:]
    return torch.cat([p, -q / (q**2).sum(1, keepdim=True) ** 1.5], 1)


def orbit(e: float) -> Smooth:
    """Kepler's ellipse of eccentricity e, once around: q = (cos E - e, sqrt(1 - e^2) sin E) where E - e sin E = t."""
    t = torch.linspace(0, 2 * np.pi, 5, dtype=F64)
    E = t.clone()
    for _ in range(30):
        E = E - (E - e * E.sin() - t) / (1 - e * E.cos())
    b, rate = (1 - e * e) ** 0.5, 1 / (1 - e * E.cos())
    return Smooth(_orbit, t, torch.stack([E.cos() - e, b * E.sin(), -E.sin() * rate, b * E.cos() * rate], 1)[:, None])


_start, _phase = (
    torch.linspace(0.1, 0.6, 14, dtype=F64).reshape(7, 2),
    torch.linspace(-0.3, 0.4, 14, dtype=F64).reshape(7, 2),
)
_five = torch.linspace(0, 1, 5, dtype=F64)
LOGISTIC = Smooth(
    lambda t, y: y * (1 - y), 2 * _five, torch.stack([logistic_exact(_start, t) for t in (2 * _five).tolist()])
)
SWING = Smooth(
    lambda t, y: 0.25 * t.cos() * (1 + y * y), 4 * _five, (_phase + 0.25 * (4 * _five).sin()[:, None, None]).tan()
)
ELLIPSE, CIRCLE = orbit(0.2), orbit(0.0)


# -- G3: a Gaussian, in its eigenbasis or turned
# ---------------------------------------------------------------------------

G3_VARIANCES = torch.tensor([0.25, 1.0, 4.0], dtype=F64)
G3_MEAN = torch.tensor([1.0, -0.5, 2.0], dtype=F64)
G3 = exact.Gaussian(G3_MEAN, G3_VARIANCES)
G3_BASIS = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0])
G3_TURNED = exact.Gaussian(G3_BASIS @ G3_MEAN, G3_BASIS @ torch.diag(G3_VARIANCES) @ G3_BASIS.T)


def marginal(process: Process, t: float) -> tuple[Tensor, Tensor]:
    """Mean and variances (3,) of G3 perturbed to time t, in the eigenbasis."""
    alpha, sigma = process.alpha(t), process.sigma(t)
    return alpha * G3_MEAN, alpha**2 * G3_VARIANCES + sigma**2


# -- M3: a mixture on the line
# ---------------------------------------------------------------------------------------------

M3_WEIGHTS, M3_MEANS, M3_STD = np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.5, 3.0]), np.array([0.3, 0.6, 0.2])
M3 = exact.GaussianMixture(
    torch.from_numpy(M3_MEANS)[:, None], torch.from_numpy(M3_STD**2), torch.from_numpy(M3_WEIGHTS)
)


def m3_cdf(x: np.ndarray, sigma: float, alpha: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """P(X <= x) and P(X > x) for X = alpha x0 + sigma eps."""
    z = (x[:, None] - alpha * M3_MEANS) / np.sqrt(alpha**2 * M3_STD**2 + sigma**2)
    return (M3_WEIGHTS * ndtr(z)).sum(1), (M3_WEIGHTS * ndtr(-z)).sum(1)


def m3_flow(x: Tensor, sigma0: float, sigma1: float, alpha0: float = 1.0, alpha1: float = 1.0) -> Tensor:
    """The probability flow's map, F_1^{-1}(F_0(x)): monotone transport between the marginals, x (B, 1)."""
    p, q = m3_cdf(x[:, 0].numpy(), sigma0, alpha0)
    low, high = np.full_like(p, -1e3), np.full_like(p, 1e3)
    for _ in range(100):
        mid = 0.5 * (low + high)
        cdf, tail = m3_cdf(mid, sigma1, alpha1)
        above = np.where(p < 0.5, cdf > p, tail < q)  # whichever side is small is the accurate one
        low, high = np.where(above, low, mid), np.where(above, mid, high)
    return torch.from_numpy(0.5 * (low + high))[:, None]


def m3_points(sigma: float, alpha: float = 1.0, count: int = 45) -> Tensor:
    """Quantiles of the marginal at level sigma, (count, 1)."""
    z = torch.linspace(-2.5, 2.5, count, dtype=F64)[:, None]
    return m3_flow(z * 1e4, 1e4, sigma, 1e-12, alpha)
