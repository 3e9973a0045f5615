"""Sampling: noise from the prior, a solve down to the last level, and one final denoise.

The state starts as N(0, sigma^2 I) at the first level of the grid. It is integrated along the method's process to the
last level, and denoised there. Sample i depends on (seed, first + i) alone. A sampler has no loop of its own: `solvers`
integrates its `Equation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from solvers import SeededNoise, Source, WhiteNoise, check
from solvers.noise import PRIOR

from ..denoisers import conditions
from ..denoisers.denoiser import BaseDenoiser
from ..processes.coefficients import like
from ..runtime.torch_state import evaluating as evaluating
from .editing import edit as edit
from .method import Method
from .plan import Plan as Plan
from .plan import check_method, plan_for
from .ranges import method_levels as method_levels
from .transport import decode as decode
from .transport import encode as encode
from .transport import transport as transport

_STATES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


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

    The network runs in eval mode and without gradients; its mode is restored afterwards.

    Args:
        denoiser: the model, a `BaseDenoiser`.
        shape: shape of the samples to draw, (B, ...).
        method: a `Method`, such as catalogue.unipc(10).
        seed: seed of the noise. Sample i depends on (seed, first + i) alone, and not on the batch or chunk size. None
            requires `generator`.
        device: device of the state; None: the device of the model.
        generator: source of the noise if seed is None. It is faster, but single samples cannot be reproduced.
        cond: condition for the denoiser: a tensor, or a dict, list or tuple of them, with one entry per sample. A
            number holds for all samples.
        first: index of the first sample.
        batch: number of samples computed at once; None: all.
        dtype: dtype of the state; None: float64 for a float64 denoiser, float32 otherwise.
        denoise: False: the noisy state at the last level is returned, scaled to alpha = 1.
        compile: True: each step, including the network, is compiled to one graph, which later calls reuse. The samples
            are the same to rounding.

    Returns:
        Samples, (B, ...).

    Raises:
        TypeError, ValueError: naming the argument.
        solvers.SolveError: if a sample is not finite.
    """

    shape = check.shape("shape", shape)
    size = shape[0] if batch is None else check.integer("batch", batch)
    check.integer("first", first, least=0, most=2**62)
    method = check_method(denoiser, method, compile)
    cond = conditions.prepared(cond, shape[0])
    parts: list[Tensor] = []

    for i in range(0, shape[0], size):
        part = (min(size, shape[0] - i), *shape[1:])
        rows = slice(i, i + size)
        plan, x = _begin(
            denoiser,
            part,
            method,
            seed,
            device,
            generator,
            conditions.rows(cond, rows),
            first + i,
            dtype,
        )
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
    """Yield (lam, x) at every noise level, from the first to the last.

    x is scaled to alpha^2 + sigma^2 = 1, so that states at all levels have a similar size. lam is 0-d, or (B,) if the
    method is adaptive.

    Args:
        denoiser: the model, a `BaseDenoiser`.
        shape: shape of the samples to draw, (B, ...).
        method: a `Method`, such as catalogue.unipc(10).
        seed: as in `sample`.
        device: as in `sample`.
        generator: as in `sample`.
        cond: condition of each sample, or None (`denoisers.conditions`).
        first: index of the first sample.
        dtype: as in `sample`.
    """

    plan, start = _begin(
        denoiser,
        check.shape("shape", shape),
        method,
        seed,
        device,
        generator,
        cond,
        first,
        dtype,
    )
    return ((method.process.lam(t), plan.seen(x, t)) for t, x in plan.states(start))


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
    """The plan of a solve from the prior, and its first state."""
    check_method(denoiser, method)

    if (seed is None) == (generator is None):
        raise ValueError(
            f"`seed` must be None exactly when a generator is given, got seed = {seed!r} and"
            f" {'a' if generator else 'no'} generator"
        )

    place, kind = state_place(denoiser, device, dtype)

    if seed is not None:
        source: Source = SeededNoise(seed, first)
        z = SeededNoise(seed, first).normal(PRIOR, range(1), shape, kind, place)[0]
    else:
        assert generator is not None
        source = white = WhiteNoise(generator)
        z = white.normal(shape, kind, place)

    plan = plan_for(denoiser, method, cond, z, source)

    return plan, plan.prior(z)


def interpolate(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """Spherical interpolation between latents, sample by sample. In between, the norm stays that of a normal draw.

    sin((1-w) th)/sin(th) a + sin(w th)/sin(th) b, th the angle between a and b. Shoemake 1985.

    Args:
        a: latents, (B, ...).
        b: latents, like a.
        weight: 0 gives a, 1 gives b.
    """

    flat_a = a.reshape(len(a), -1)
    flat_b = b.reshape(len(b), -1)
    cosine = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1))
    angle = cosine.clamp(-1, 1).acos()
    straight = angle.sin() < 1e-6
    safe = torch.where(straight, torch.ones_like(angle), angle.sin())
    left = torch.where(straight, torch.full_like(angle, 1 - weight), ((1 - weight) * angle).sin() / safe)
    right = torch.where(straight, torch.full_like(angle, weight), (weight * angle).sin() / safe)

    return a * like(left, a) + b * like(right, b)


def state_place(denoiser: BaseDenoiser, device: Any, dtype: torch.dtype | None) -> tuple[torch.device, torch.dtype]:
    """The device and the dtype of a state for the denoiser.

    Args:
        denoiser: the model; its parameters and buffers give the device and the dtype.
        device: device of the state, of the same type as the model's; None: the model's device.
        dtype: dtype of the state; None: float64 for a model with float64 numbers, float32 otherwise.
    """
    tensors = [t for t in (*denoiser.parameters(), *denoiser.buffers()) if t.is_floating_point()]
    home = tensors[0].device if tensors else torch.device("cpu")
    place = home if device is None else torch.device(device)
    if tensors and place.type != home.type:
        raise ValueError(f"`device` must be the denoiser's {home}, got {place}; call denoiser.to({str(place)!r}) first")
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype in _STATES):
        raise TypeError(f"`dtype` must be torch.float32, float64, float16 or bfloat16, got {dtype!r}")

    if dtype is None:
        dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32

    return place, dtype
