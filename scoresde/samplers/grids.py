"""Grids of noise levels: functions (n_levels, lam_first, lam_last) -> lam.

lam is half the log-SNR. It rises from lam_first (noise) to lam_last (data). The result is a strictly monotone float64
CPU tensor with exactly these ends; it does not depend on the process integrated along. The usual grids are ready to
call: `uniform_time`, `quadratic`, `uniform_lambda`, `karras` and `cosine`. `from_list` takes a user's levels;
`Leading`, `Trailing` and `Linspace` take levels of a chain; `tuning.error_balanced_grid` measures levels on a model.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from solvers import check

from ..processes.base import Process
from ..processes.ddpm import DiscreteVP
from ..processes.forward import VPSDE, CosineVP


class Grid(ABC):
    """Abstract: a monotone clock u(lam) in which the levels are equally spaced."""

    @abstractmethod
    def clock(self, lam: Tensor) -> Tensor:
        """u(lam): the clock at a level."""

    @abstractmethod
    def level(self, u: Tensor) -> Tensor:
        """lam(u): the inverse of `clock`."""

    def __call__(self, n_levels: int, lam_first: float, lam_last: float) -> Tensor:
        """n_levels levels from lam_first to lam_last, equally spaced in the clock. A single level is lam_first.

        Args:
            n_levels: number of levels, at least 1.
            lam_first: lam of the first level; -inf (pure noise) if the clock is finite there.
            lam_last: lam of the last level.
        """
        check.integer("n_levels", n_levels)

        for name, lam in (("lam_first", lam_first), ("lam_last", lam_last)):
            if lam != -math.inf:  # pure noise, where the clock must be finite
                check.number(name, lam)

        ends = torch.tensor([lam_first, lam_last], dtype=torch.float64, device="cpu")

        if n_levels == 1:
            return ends[:1]
        if ends[0] == ends[1]:
            raise ValueError(f"`lam_last` must differ from lam_first for {n_levels} levels, got both {lam_first!r}")

        first, last = self.clock(ends)
        if not bool(torch.isfinite(last - first)):
            raise ValueError(
                f"`lam_first` must be finite on {self!r}, got {lam_first!r}: pure noise needs a grid that"
                " reaches it, as UniformTime(RectifiedFlow())"
            )

        lam = self.level(first + (last - first) * torch.linspace(0, 1, n_levels, dtype=torch.float64, device="cpu"))
        lam[0], lam[-1] = ends

        return lam


class AbsoluteGrid(Grid):
    """Abstract: a grid with absolute levels. `sample` uses them as they are, whatever the range of the model. Called
    with two ends, it interpolates like any other grid."""

    @abstractmethod
    def fixed_levels(self, n_levels: int) -> Tensor:
        """Its n_levels levels lam, in rising order."""


@dataclass(frozen=True)
class UniformTime(Grid):
    """Equal steps in t^(1/power) of `process`: power 1 uniform time, 2 the quadratic grid of DDIM (arXiv:2010.02502).

    unit is the data's standard deviation; noise levels are measured in this unit."""

    process: Process = VPSDE()
    power: float = 1.0
    unit: float = 1.0

    def __post_init__(self) -> None:
        check.number("power", self.power, above=0.0)
        check.number("unit", self.unit, above=0.0)

    def clock(self, lam: Tensor) -> Tensor:
        return self.process.time(lam + math.log(self.unit)) ** (1 / self.power)

    def level(self, u: Tensor) -> Tensor:
        return self.process.lam(u**self.power) - math.log(self.unit)


@dataclass(frozen=True)
class UniformLambda(Grid):
    """Equal steps in lam. Lu et al. 2022, arXiv:2206.00927."""

    def clock(self, lam: Tensor) -> Tensor:
        return lam

    def level(self, u: Tensor) -> Tensor:
        return u


@dataclass(frozen=True)
class KarrasGrid(Grid):
    """Equal steps in (sigma/alpha)^(1/rho). Karras et al. 2022, arXiv:2206.00364, eq. 5."""

    rho: float = 7.0

    def __post_init__(self) -> None:
        check.number("rho", self.rho, above=0.0)

    def clock(self, lam: Tensor) -> Tensor:
        return torch.exp(-lam / self.rho)

    def level(self, u: Tensor) -> Tensor:
        return -self.rho * u.log()


@dataclass(frozen=True)
class InterpolatedGrid(Grid):
    """Equal steps in the index of a rising list of levels. lam is linear in the index, also beyond the list."""

    lams: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_rising(self.lams, 2, finite=True)

    def clock(self, lam: Tensor) -> Tensor:
        return index_at(self.lams, lam)

    def level(self, u: Tensor) -> Tensor:
        return at_index(self.lams, u)


@dataclass(frozen=True)
class ExplicitGrid(AbsoluteGrid):
    """A grid of listed levels (see `from_list`). The first may be minus infinity, where there is no signal."""

    lams: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_rising(self.lams, 1, finite=False)

    def fixed_levels(self, n_levels: int) -> Tensor:
        if n_levels != len(self.lams):
            raise ValueError(f"`n` must be {len(self.lams)}, the length of the list of levels, got {n_levels}")
        return torch.tensor(self.lams, dtype=torch.float64, device="cpu")

    def clock(self, lam: Tensor) -> Tensor:
        return index_at(self.lams, lam)

    def level(self, u: Tensor) -> Tensor:
        return at_index(self.lams, u)


def from_list(values: Sequence[float] | Tensor, process: Process | None = None) -> ExplicitGrid:
    """A grid of given levels, in rising or falling order. The n of the method must be their number.

    Raises TypeError or ValueError naming `values` if they are empty, not strictly monotone, or outside `process`.

    Args:
        values: levels lam, or times of `process` if it is given.
        process: the process to which the times belong; None: the values are lam.
    """
    check.detached("values", values)
    given = values.tolist() if isinstance(values, Tensor) else values
    t = torch.tensor([check.number("values", v) for v in given], dtype=torch.float64, device="cpu")
    if len(t) > 1:
        check.times("values", t)

    lam = t if process is None else process.lam(process.inside(t, "values"))

    return ExplicitGrid(tuple(check.values(lam.sort().values)))


def _check_rising(lams: tuple[float, ...], least: int, finite: bool) -> None:
    lam = torch.tensor(lams, dtype=torch.float64, device="cpu")
    if (
        len(lam) < least
        or not bool((lam.diff() > 0).all() & lam[1:].isfinite().all() & (lam[:1] < math.inf).all())
        or (finite and lams[0] == -math.inf)
    ):
        raise ValueError(
            f"`lams` must hold {least} or more strictly rising{' finite' if finite else ''} levels, got {lams!r:.80}"
        )


def index_at(lams: tuple[float, ...], lam: Tensor) -> Tensor:
    """The index at a level of a list; linear between two levels.

    Args:
        lams: rising levels, at least 2.
        lam: the levels to look up; any shape.
    """
    table = torch.tensor(lams, dtype=torch.float64, device="cpu")
    k = torch.searchsorted(table, lam.contiguous()).clamp(1, len(lams) - 1)
    return k - 1 + (lam - table[k - 1]) / (table[k] - table[k - 1])


def at_index(lams: tuple[float, ...], u: Tensor) -> Tensor:
    """The value at an index, linear in between: the inverse of `index_at` for the same list.

    Args:
        lams: rising levels, at least 2.
        u: indices, whole or between two levels; any shape.
    """
    table = torch.tensor(lams, dtype=torch.float64, device="cpu")
    k = u.ceil().long().clamp(1, len(lams) - 1)
    return table[k - 1] + (u - (k - 1)) * (table[k] - table[k - 1])


class ChainGrid(AbsoluteGrid):
    """Abstract: n of the T levels of a chain, evenly spaced in their index. Called with two ends, it is uniform in the
    chain's time."""

    chain: DiscreteVP

    @abstractmethod
    def steps(self, n: int) -> Sequence[int]:
        """The n timesteps i - 1 of levels i, falling, in 0..T-1 as networks of discrete time count them."""

    def fixed_levels(self, n_levels: int) -> Tensor:
        check.integer("n", n_levels, most=self.chain.steps, hint=f"{self.chain!r} has no more levels")
        t = (torch.tensor(self.steps(n_levels), dtype=torch.float64, device="cpu") + 1) / self.chain.steps
        if not t[0] <= 1:
            raise ValueError(
                f"`offset` must leave the first timestep below {self.chain.steps}, got {self!r} for {n_levels} levels"
            )
        return self.chain.lam(t)

    def clock(self, lam: Tensor) -> Tensor:
        return self.chain.time(lam)

    def level(self, u: Tensor) -> Tensor:
        return self.chain.lam(u)


@dataclass(frozen=True)
class Leading(ChainGrid):
    """Timesteps 0, r, 2r, ... + offset with r = floor(T/n): the spacing of DDIM (Song et al. 2021, arXiv:2010.02502).
    It does not begin at level T."""

    chain: DiscreteVP
    offset: int = 0

    def steps(self, n: int) -> Sequence[int]:
        ratio = self.chain.steps // n
        return [k * ratio + self.offset for k in reversed(range(n))]


@dataclass(frozen=True)
class Trailing(ChainGrid):
    """Timesteps from T - 1 down by T/n, rounded: it begins at level T. Lin et al. 2023, arXiv:2305.08891, table 2."""

    chain: DiscreteVP

    def steps(self, n: int) -> Sequence[int]:
        total = self.chain.steps
        return [round(total - k * (total / n)) - 1 for k in range(n)]


@dataclass(frozen=True)
class Linspace(ChainGrid):
    """Timesteps from T - 1 to 0, both included, rounded. Nichol & Dhariwal 2021, arXiv:2102.09672."""

    chain: DiscreteVP

    def steps(self, n: int) -> Sequence[int]:
        last = self.chain.steps - 1
        return [round(k * (last / max(1, n - 1))) for k in reversed(range(n))]


uniform_time = UniformTime()
quadratic = UniformTime(power=2.0)
uniform_lambda = UniformLambda()
karras = KarrasGrid()
cosine = UniformTime(CosineVP())


@dataclass(frozen=True)
class Tolerance:
    """Tolerances on the state for adaptive steps, used instead of a grid. Each sample has its own steps."""

    rtol: float = 1e-5
    atol: float = 1e-5
    max_evals: int = 10_000

    def __post_init__(self) -> None:
        check.number("rtol", self.rtol, above=0.0)
        check.number("atol", self.atol, above=0.0)
        check.integer("max_evals", self.max_evals)
