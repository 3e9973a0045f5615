"""The equation that every solver of the package integrates:

    dy = [a y + f(t, y)] dt + g(t, y) dW,      y of shape (B, ...), dW of independent N(0, |dt|) entries.

An `Equation` also declares its structure: the linear part, the kind of noise, the direction of time and the
stochastic sense. Each solver reads those parts that it can use.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from . import check

Field = Callable[[Tensor, Tensor], Tensor]


class Noise(enum.IntEnum):
    """The kind of noise: how g depends on the state.

    The kinds are ordered: a solver can solve an equation if `equation.kind <= solver.noise`."""

    NONE = 0  # g is None: an ordinary differential equation
    ADDITIVE = 1  # g depends on t alone
    DIAGONAL = 2  # component i of g multiplies component i of dW and depends on component i of y


class Sense(enum.Enum):
    """The stochastic integral that `g dW` denotes. Both agree if the noise is additive."""

    ITO = "Ito"
    STRATONOVICH = "Stratonovich"


@dataclass(frozen=True)
class Equation:
    """An ordinary or stochastic differential equation, given by its coefficients:

        dy = [a y + f(t, y)] dt + g(t, y) dW.

    f, g        callables (t, y) -> tensor; t is 0-d on a fixed grid and (B, 1, ..., 1) under adaptive steps, y is (B,
                ...). f returns a tensor like y. g returns a tensor that broadcasts against y. If g is None, the
                equation is an ODE.
    a           the constant linear part: a number, or a tensor that broadcasts against one sample of y (a diagonal
                operator).
    noise       the kind of noise; None: `Noise.DIAGONAL` if g is given, the more general kind, and else `Noise.NONE`.
    direction   the sign of dt for which a stochastic equation is valid (+1, -1); None: both.
    sense       Ito (default) or Stratonovich.
    select      select(index) -> Equation for a subset of the samples. Adaptive solves need it if f or g holds
                per-sample data, because finished samples leave the batch.
    time_range  the times (smallest, largest) between which f and g are defined; None: all.

    Raises TypeError or ValueError naming the field.
    """

    f: Field
    g: Field | None = None
    a: float | Tensor = 0.0
    noise: Noise | None = None
    direction: int | None = None
    sense: Sense = Sense.ITO
    select: Callable[[Tensor], Equation] | None = None
    time_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("f", "g"):
            field = getattr(self, name)
            if not (callable(field) or (name == "g" and field is None)):
                raise TypeError(f"`{name}` must be a callable (t, y) -> tensor, got {type(field).__name__}")

        noise = self.noise
        if noise is None:
            noise = Noise.NONE if self.g is None else Noise.DIAGONAL

        if not isinstance(noise, Noise):
            raise TypeError(f"`noise` must be a member of Noise, got {noise!r}")
        if (noise is Noise.NONE) != (self.g is None):
            raise ValueError(
                f"`noise` must be Noise.NONE exactly when g is None, got {noise!r} with g"
                f" {'absent' if self.g is None else 'given'}"
            )

        object.__setattr__(self, "noise", noise)

        if self.direction not in (None, 1, -1):
            raise ValueError(f"`direction` must be +1, -1 or None, got {self.direction!r}")

        if isinstance(self.a, Tensor):
            check.floating("a", self.a)
        else:
            check.number("a", self.a)

    @property
    def kind(self) -> Noise:
        """The noise kind, never None."""
        return cast(Noise, self.noise)

    @property
    def linear(self) -> bool:
        """Whether the equation has a linear part: a is a tensor, or a number other than 0."""
        return isinstance(self.a, Tensor) or self.a != 0.0

    def drift(self, t: Tensor, y: Tensor) -> Tensor:
        """The whole drift, a y + f(t, y).

        Args:
            t: the time, 0-d, or (B, 1, ..., 1) under adaptive steps.
            y: the state, (B, ...).
        """
        return self.f(t, y) + self.a * y if self.linear else self.f(t, y)
