"""A check, at one state, that g has the kind of noise that its equation declares."""

from __future__ import annotations

import torch
from torch import Tensor

from .counting import checked
from .equation import Equation, Noise
from .solver import Solver

_ROUNDINGS = 32  # tolerance: a relative change of g below 32 eps counts as no change
_MOVE = 1e-3  # displacement of y, relative to 1 + |y|


def _some(y: Tensor) -> Tensor:
    """A mask like y of the components to change. Sample b changes the components whose index has bit b set.

    If the batch is large enough, any two components differ in some sample."""
    size = y[0].numel()
    bits = max(1, (size - 1).bit_length())
    index = torch.arange(size, device=y.device).unsqueeze(0)
    bit = (torch.arange(len(y), device=y.device) % bits).unsqueeze(1)
    return ((index >> bit) % 2 == 1).reshape(y.shape)


def check_declared(
    eq: Equation,
    solver: Solver,
    t: Tensor,
    y: Tensor,
) -> None:
    """Compare g at a state and at a state near it, and raise if it contradicts the declared kind of noise.

    Additive noise must not change with y. For diagonal noise, g_i must not change with the other components of y. This
    is checked only if the strong order of the solver depends on it. An equation with a `direction` is not checked,
    because scoresde sets it for the equations of its processes. The two calls of g are not counted.

    Args:
        eq: the equation.
        solver: a solver of `solvers`.
        t: the first time, 0-d.
        y: the state, (B, ...).

    Raises:
        ValueError: naming `g`, the declared kind, and what to do instead.
    """

    if eq.g is None or eq.direction is not None or torch.compiler.is_compiling():
        return

    strong = solver.strong_order or 0
    if eq.kind is Noise.DIAGONAL and (strong < 1 or y.numel() < 2):
        return

    with torch.no_grad():
        y = y.detach()
        step = _MOVE * (1 + y.abs())
        moved = torch.ones_like(y, dtype=torch.bool)

        if eq.kind is Noise.DIAGONAL:
            moved = _some(y)

        here = checked("g", eq.g, t, y.clone(), exact=False)
        there = checked("g", eq.g, t, torch.where(moved, y + step, y), exact=False)
        change = (here - there).abs()
        size = torch.maximum(here.abs(), there.abs())
        changed = change > _ROUNDINGS * torch.finfo(y.dtype).eps * size

        if eq.kind is Noise.ADDITIVE:
            if bool(changed.any()):
                said = "declare noise=Noise.DIAGONAL where g_i depends on y_i alone, and take EulerMaruyama() otherwise"
                raise ValueError(
                    f"`g` must depend on t alone, as its noise is declared ADDITIVE, but changes with y; {said}"
                )
        elif changed.dim() == y.dim() and bool((changed & ~moved).any()):
            said = f"the order of {solver!r} depends on this; take EulerMaruyama()"
            raise ValueError(
                "`g` must have components g_i that depend on t and y_i alone, as its noise is declared DIAGONAL, but"
                f" one changes with another component of y; {said}"
            )
