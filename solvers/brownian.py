"""Brownian paths with consistent increments over different intervals: on a fixed fine grid, or over any interval.

Both classes compute W and its time integral A(t) = int W at given times. An interval [s, t] then has

    dW = W(t) - W(s),      H = (A(t) - A(s))/(t - s) - (W(s) + W(t))/2.

Consistent means: over adjacent intervals the increments add up, and the integrals of W do too. Both classes measure
time along their own direction. So an interval in the opposite direction has -dW and the same H.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from . import check
from .noise import TREE, Source
from .philox import box_muller, philox

_LEVELS = 36  # the width of the finest cell is 1.5e-11 of the range
_NUMBERS = 1 << 20  # largest number of normals drawn at once
_LOW28 = (1 << 28) - 1
_LOW32 = (1 << 32) - 1


class GridPath(Source):
    """A Brownian path on a fixed fine grid, drawn at construction.

    The increment between any two grid times is the exact sum, so coarse and fine solves use the same path.

    y0     a state; the path has its shape, dtype and device
    times  the grid, 1-D, strictly monotone, either direction
    generator  a torch.Generator on the device of y0

    Raises ValueError for a time that is not in the grid."""

    def __init__(self, y0: Tensor, times: Tensor, generator: torch.Generator):
        self.like = check.state("y0", y0).detach()
        times = check.times("times", times)

        if not isinstance(generator, torch.Generator) or torch.device(generator.device).type != y0.device.type:
            raise TypeError(
                f"`generator` must be a torch.Generator on the state's device {y0.device}, got {generator!r}"
            )

        self.times = times
        self.index = {t: k for k, t in enumerate(check.values(times))}
        self.rounding = 1e-14 * float(times.abs().max())
        h = times.diff().abs().to(y0.device).reshape(-1, *[1] * y0.dim())
        z = torch.empty(2, len(h), *y0.shape, dtype=torch.float64, device=y0.device).normal_(generator=generator)
        dw = z[0] * h.sqrt()
        area = z[1] * (h / 12).sqrt()
        start = torch.zeros_like(dw[:1])
        self.w = torch.cat((start, dw.cumsum(0)))
        self.a = torch.cat((start, (h * (self.w[:-1] + 0.5 * dw + area)).cumsum(0)))

    def on(self, times: Tensor, y: Tensor) -> GridPath:
        same_state(y, self.like)
        for t in check.values(times):
            self._at(t)
        return self

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        i = self._at(t0.item())
        j = self._at(t1.item())
        return (self.w[j] - self.w[i]).to(self.like.dtype)

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        """The increment dW and the space-time Levy area H over an interval.

        Args:
            t0: start of the interval, 0-d.
            t1: end of the interval, 0-d.
        """
        i = self._at(t0.item())
        j = self._at(t1.item())
        h = (t1 - t0).abs().item()
        area = (self.a[j] - self.a[i]) * ((1 if j > i else -1) / h) - 0.5 * (self.w[i] + self.w[j])
        return self(t0, t1), area.to(self.like.dtype)

    def _at(self, t: float) -> int:
        if t in self.index:
            return self.index[t]

        near = int((self.times - t).abs().argmin())  # a time may differ by a rounding error
        if not math.isclose(self.times[near].item(), t, rel_tol=1e-14, abs_tol=self.rounding):
            ends = check.values(self.times[[0, -1]])
            hint = "use BrownianTree for any time"
            raise ValueError(
                f"`t0, t1` must be among the GridPath's {len(self.times)} times from {ends[0]:g} to {ends[1]:g},"
                f" got {t!r}; {hint}"
            )

        return near


@dataclass(frozen=True, eq=False)
class BrownianTree(Source):
    """A Brownian path over [t0, t1] that depends on (seed, sample, interval) only, for any intervals in any order.

    It is computed by bisection. If a cell of width w has the increment W and the area H, its halves have

        W/2 +- (3H/2 + Z)  and  H/4 - Z/2 +- N/2,      Z ~ N(0, w/16),  N ~ N(0, w/12)  independent,

    (Foster, Lyons & Oberhauser 2020, arXiv:1905.06834; Jelincic, Foster & Kidger 2024, arXiv:2405.06464). Z and N of a
    cell come from Philox (key = seed; counter = sample, cell, element), so no cell is stored. W(t) and A(t) need 36
    bisections, down to a cell of 1.5e-11 of the range. Inside that cell the path is its conditional mean. The
    arithmetic is float64 and elementwise, so the bits do not depend on the order of calls or on the split of the batch.
    H of an interval shorter than 1e-7 of the range loses digits to cancellation.

    y0     a state (B, ...); the increments have its shape, dtype and device
    t0, t1  the range, either direction
    seed   an integer in [0, 2^63)
    first  index of the batch's first sample

    The times of a call are 0-d or (B, 1, ..., 1). A time out of the range raises ValueError."""

    y0: Tensor = field(repr=False)
    t0: float
    t1: float
    seed: int
    first: int = 0
    rows: Tensor | None = field(default=None, repr=False)  # rows of the samples in the batch, set by `take`; None: all

    def __post_init__(self) -> None:
        check.floating("y0", self.y0)
        check.number("t0", self.t0)
        check.number("t1", self.t1)
        if self.t0 == self.t1:
            raise ValueError(f"`t1` must differ from t0, got both {self.t0!r}")
        check.seed("seed", self.seed)
        check.integer("first", self.first, least=0, most=2**62)

    def on(self, times: Tensor, y: Tensor) -> BrownianTree:
        same_state(y, self.y0)
        self._place(times)
        return self

    def take(self, index: Tensor) -> BrownianTree:
        """The path of the samples `index`."""
        return replace(self, y0=self.y0[index], rows=index if self.rows is None else self.rows[index])

    def __call__(self, t0: Tensor, t1: Tensor) -> Tensor:
        w, _ = self._path(self._place(t0, t1))
        return (w[1] - w[0]).to(self.y0.dtype)

    def levy(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        """The increment dW and the space-time Levy area H over an interval.

        Args:
            t0: start of the interval, 0-d or (B, 1, ..., 1).
            t1: end of the interval, 0-d or (B, 1, ..., 1).
        """
        x = self._place(t0, t1)
        w, a = self._path(x)
        h = ((x[1] - x[0]) * abs(self.t1 - self.t0)).reshape(-1, *[1] * (self.y0.dim() - 1))
        area = (a[1] - a[0]) / h - 0.5 * (w[0] + w[1])
        return (w[1] - w[0]).to(self.y0.dtype), area.to(self.y0.dtype)

    def _place(self, *times: Tensor) -> Tensor:
        """Times as fractions of the range: (len(times), B or 1), or (1, n) for one tensor of n times."""
        t = torch.stack([torch.atleast_1d(t.detach().to(self.y0.device, torch.float64)).flatten() for t in times])
        x = (t - self.t0) / (self.t1 - self.t0)
        if not bool(((x >= 0) & (x <= 1)).all()):
            worst = t[(x < 0) | (x > 1) | x.isnan()][0].item()
            raise ValueError(
                f"`t0, t1` must lie in the range [{min(self.t0, self.t1):g}, {max(self.t0, self.t1):g}] of the"
                f" BrownianTree, got {worst!r}"
            )

        return x

    def _path(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W and A at the fractions x (Q, B or 1) of the range, (Q, *y0.shape) in float64."""
        width = abs(self.t1 - self.t0)
        position = x * 2.0**_LEVELS
        index = position.to(torch.int64).clamp_(max=2**_LEVELS - 1)  # of the finest cell that contains x

        root = self._normals(torch.zeros(1, 1, 1, dtype=torch.int64, device=x.device))[0]
        w = root[0] * math.sqrt(width)
        h = root[1] * math.sqrt(width / 12)
        cell = _Cell(w, h, torch.zeros_like(w), torch.zeros_like(w))
        ahead = max(1, _NUMBERS // (2 * x.shape[0] * self.y0.numel()))  # number of levels drawn at once

        for first in range(0, _LEVELS, ahead):
            for turn in self._turns(index, range(first, min(first + ahead, _LEVELS)), width):
                cell = cell.half(*turn)

        # At the fraction theta of the finest cell, the path is its conditional mean given w and h.
        theta = (position - index).reshape(*x.shape, *[1] * (self.y0.dim() - 1))
        inside = theta * (0.5 * theta * cell.w + theta * (3 - 2 * theta) * cell.h)
        w_at = cell.w_left + theta * (cell.w + 6 * (1 - theta) * cell.h)
        a_at = cell.a_left + (0.5**_LEVELS * width) * (theta * cell.w_left + inside)

        return w_at, a_at

    def _turns(
        self, index: Tensor, levels: range, width: float
    ) -> Iterator[tuple[float, Tensor, Tensor, Tensor, Tensor]]:
        """Yield the arguments of `_Cell.half` at each of `levels`, on the way to the finest cells `index`."""
        level = torch.arange(levels.start, levels.stop, device=index.device).reshape(-1, 1, 1)
        nodes = (1 << level) + (index >> (_LEVELS - level))  # heap order: every cell of every level has its own number
        right = ((index >> (_LEVELS - 1 - level)) & 1).to(torch.float64)
        right = right.reshape(*nodes.shape, *[1] * (self.y0.dim() - 1))

        sizes = [width * 0.5**each for each in levels]
        scale = torch.tensor(sizes, dtype=torch.float64, device=index.device).sqrt()
        normals = self._normals(nodes) * scale.reshape(-1, 1, *[1] * (self.y0.dim() + 1))
        z = 0.25 * normals[:, 0]
        half_n = 0.5 * 12**-0.5 * normals[:, 1]

        yield from zip(sizes, z, half_n, right, 1 - 2 * right, strict=True)

    def _normals(self, nodes: Tensor) -> Tensor:
        """Draw two normals per element for each cell: (levels, Q, B or 1) -> (levels, 2, Q, *y0.shape)."""
        batch = self.y0.shape[0]
        count = math.prod(self.y0.shape[1:])
        rows = torch.arange(batch, device=nodes.device) if self.rows is None else self.rows
        sample = (rows + self.first).reshape(-1, 1)
        nodes, block = nodes.unsqueeze(-1), torch.arange(-(-count // 2), device=nodes.device)
        counter = [sample & _LOW32, sample >> 32, (nodes & _LOW28) + (TREE << 28), ((nodes >> 28) << 24) + block]
        shape = torch.broadcast_shapes(*(c.shape for c in counter))
        words = torch.stack(philox([c.expand(shape) for c in counter], (self.seed & _LOW32, self.seed >> 32)), -1)
        pairs = box_muller(words).flatten(-3, -2)[..., :count, :]  # (levels, Q, B, count, 2)

        return pairs.movedim(-1, 1).reshape(shape[0], 2, shape[1], *self.y0.shape)


class _Cell(NamedTuple):
    """A cell of the tree: its increment w and area h, and W and A at its left end."""

    w: Tensor
    h: Tensor
    w_left: Tensor
    a_left: Tensor

    def half(
        self,
        size: float,
        z: Tensor,
        half_n: Tensor,
        right: Tensor,
        sign: Tensor,
    ) -> _Cell:
        """One half of the cell: the left one if right = 0, the right one if right = 1.

        The halves have the increments w/2 +- (3h/2 + Z) and the areas h/4 - Z/2 +- N/2.

        Args:
            size: width of the cell.
            z: Z ~ N(0, size/16).
            half_n: N/2, N ~ N(0, size/12).
            right: 0 or 1, for each sample.
            sign: 1 - 2 right.
        """
        lean = 1.5 * self.h + z
        w_of_left = 0.5 * self.w + lean
        mean_h = 0.25 * self.h - 0.5 * z
        a_of_left = 0.5 * size * (self.w_left + 0.5 * w_of_left + mean_h + half_n)  # int W over the left half

        return _Cell(
            w=0.5 * self.w + sign * lean,
            h=mean_h + sign * half_n,
            w_left=self.w_left + right * w_of_left,
            a_left=self.a_left + right * a_of_left,
        )


def same_state(y: Tensor, like: Tensor) -> None:
    """Raise ValueError if a path was made for a state of another shape, dtype or device.

    Args:
        y: the state of the solve.
        like: the state that the path was made for.
    """
    if (y.shape, y.dtype, y.device) != (like.shape, like.dtype, like.device):
        wanted, got = (f"{tuple(s.shape)} {s.dtype} on {s.device}" for s in (y, like))
        raise ValueError(f"`noise` must be made for the state {wanted}, got one for {got}")
