"""One equation for everything the package integrates:

    dy = [a y + f(t, y)] dt + g(t, y) dW,      y of shape (B, ...), dW of independent N(0, |dt|) entries.

The equation holds its structure: the linear part, the kind of noise, the direction of time, the stochastic sense. A
solver reads the parts that it can use.
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
    """How the noise enters. The kinds are ordered: a solver can solve an equation if `equation.noise <=
    solver.noise`."""

    NONE = 0  # g is None: an ordinary differential equation
    ADDITIVE = 1  # g depends on t alone
    DIAGONAL = 2  # component i of g multiplies component i of dW and depends on component i of y


class Sense(enum.Enum):
    """The stochastic integral meant by `g dW`; the two agree for additive noise."""

    ITO = "Ito"
    STRATONOVICH = "Stratonovich"


@dataclass(frozen=True)
class Equation:
    """dy = [a y + f(t, y)] dt + g(t, y) dW.

    f, g        callables (t, y) -> tensor; t is 0-d on a fixed grid and (B, 1, ..., 1) under adaptive steps, y is (B,
                ...). f returns a tensor like y; g anything that broadcasts against y. g None: an ODE.
    a           the constant linear part: a number, or a tensor that broadcasts against one sample of y (a diagonal
                operator).
    noise       `Noise.DIAGONAL` when g is given and nothing is said, the safe reading.
    direction   the sign of dt for which a stochastic equation is meant (+1, -1); None: either.
    sense       Ito (default) or Stratonovich.
    select      equation for a subset of the rows: select(index) -> Equation. Needed only where f or g closes over
                per-sample data, because adaptive solves drop finished samples.
    time_range  the times (least, most) between which f and g are meant; None: all.

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
        """The noise kind, resolved."""
        return cast(Noise, self.noise)

    @property
    def linear(self) -> bool:
        """Whether there is a linear part at all."""
        return isinstance(self.a, Tensor) or self.a != 0.0

    def drift(self, t: Tensor, y: Tensor) -> Tensor:
        """a y + f(t, y), the whole drift.

        Args:
            t: the time, 0-d, or (B, 1, ..., 1) under adaptive steps.
            y: the state, (B, ...).
        """
        return self.f(t, y) + self.a * y if self.linear else self.f(t, y)
