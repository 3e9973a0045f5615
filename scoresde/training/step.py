"""One training step: draw a batch, compute the gradients, check them, update the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from solvers import check

from ..data.batches import mixed
from ..data.samples import Samples
from ..denoisers import conditions
from ..runtime import distributed
from ..runtime.torch_state import seeded
from .objective import NonFiniteLossError, Objective, Progress
from .state import Training, TrainState
from .trainable import Trainable
from .worker import Draws, gradients_apart

PATIENCE = 10  # the run stops at this many non-finite steps in a row


@dataclass(frozen=True)
class Drawn:
    """The data of one step: this process' share of the batch, and the times of the whole batch.

    x0, eps    clean samples and standard normals, (share, ...)
    cond       condition of each, or None
    t, weight  times of the whole batch and their weights, (B,)
    first      index in the batch of the first sample of the share"""

    x0: Tensor
    eps: Tensor
    cond: Any
    t: Tensor
    weight: Tensor
    first: int


def training_step(
    worker: Trainable,
    state: TrainState,
    data: Samples,
    training: Training,
    objective: Objective,
    draws: Draws,
) -> Progress:
    """One optimiser step on this process' share of the batch.

    Args:
        worker: the denoiser as `worker.prepared_network` returns it.
        state: weights, optimiser and step number; changed in place.
        data: samples to train on.
        training: batch size, learning rate and the other options of the run.
        objective: loss and noise levels.
        draws: uniform and normal numbers of each step.

    Raises:
        NonFiniteLossError: if loss or gradient is not finite, and the step may not be skipped.
    """
    if not state.network.training:
        state.network.train()

    rate = _set_rate(state, training)
    drawn = _draw_batch(worker, state.step, data, training, objective, draws)
    losses = _accumulate_gradients(worker, state, training, objective, drawn, draws.device)

    state.scaler.unscale_(state.optimiser)
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), training.grad_clip)
    loss, gradient = torch.stack([losses.mean(), norm]).tolist()

    skipped = not (math.isfinite(loss) and math.isfinite(gradient))
    if skipped:
        _count_skipped(state, data, training, losses, drawn.t, loss, gradient)
    else:
        _apply_update(state)

    state.scaler.update()
    state.step += 1
    return Progress(state.step, loss, gradient, rate, drawn.t, losses.cpu(), skipped)


def _set_rate(state: TrainState, training: Training) -> float:
    """Set the optimiser's learning rate for this step, and return it."""
    rate = training.lr * training.rate(state.step, state.since)

    for group in state.optimiser.param_groups:
        group["lr"] = rate

    return rate


def _draw_batch(
    worker: Trainable,
    step: int,
    data: Samples,
    training: Training,
    objective: Objective,
    draws: Draws,
) -> Drawn:
    """Samples, noise, times and conditions of a step. Each is a function of (seed, step, index in the batch)."""
    own = distributed.local_rows(training.batch)
    x0, given = data.batch(step, training.batch, training.seed, own)
    u, hidden = draws.uniform(step).T

    t, weight = objective.draw(u, worker.process)
    cond = _condition(given, data, training, hidden[own.start : own.stop], draws.device)
    x0 = x0.to(draws.device, torch.promote_types(x0.dtype, torch.float32))
    return Drawn(x0, draws.noise(step), cond, t, weight, own.start)


def _accumulate_gradients(
    worker: Trainable,
    state: TrainState,
    training: Training,
    objective: Objective,
    drawn: Drawn,
    device: torch.device,
) -> Tensor:
    """Accumulate the gradients of the mean loss, part by part. Returns the losses of the whole batch, (B,)."""
    state.optimiser.zero_grad(set_to_none=True)
    count = len(drawn.x0)
    size = count // training.accumulate
    found: list[Tensor] = []

    for part in range(training.accumulate):
        rows = slice(part * size, (part + 1) * size)
        first = drawn.first + rows.start
        levels = slice(first, first + size)

        # Random layers (dropout) get a seed that depends on the step and the part, so that they too are repeatable.
        seed = mixed(training.seed, state.step * training.batch + first)
        with seeded(seed, device), gradients_apart(worker, part == training.accumulate - 1):
            cond = conditions.rows(drawn.cond, rows)
            each = objective(worker, drawn.x0[rows], drawn.t[levels], drawn.weight[levels], drawn.eps[rows], cond)
            state.scaler.scale(each.sum() / count).backward()

        found.append(each.detach())

    return distributed.gather(torch.cat(found))


def _count_skipped(
    state: TrainState,
    data: Samples,
    training: Training,
    losses: Tensor,
    t: Tensor,
    loss: float,
    gradient: float,
) -> None:
    """Count a step without update. Raises NonFiniteLossError if it may not be skipped, or at `PATIENCE` in a row."""
    state.skipped += 1

    # With float16 the loss scaler overflows occasionally; only repeated overflows are an error.
    tolerated = training.skip_nonfinite or (training.precision == "float16" and math.isfinite(loss))
    if tolerated and state.skipped < PATIENCE:
        return

    state.optimiser.zero_grad(set_to_none=True)
    where = _where(losses, t, data.order(state.step, training.batch, training.seed), gradient)
    again = f", the {_ordinal(state.skipped)} step in a row" if state.skipped > 1 else ""
    raise NonFiniteLossError(
        f"the loss is {loss} at step {state.step + 1}{again}, {where}; lower `lr` (now {training.lr:g}) or"
        " check the data"
    )


def _ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th and so on."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{'th' if n % 100 in (11, 12, 13) else ending}"


def _apply_update(state: TrainState) -> None:
    """Update the weights, then the averages."""
    state.skipped = 0
    state.scaler.step(state.optimiser)

    for average in (state.average, *state.tracks):
        average.update()


def _condition(
    given: Any,
    data: Samples,
    training: Training,
    u: Tensor,
    device: torch.device,
) -> Any:
    """The condition for the network: labels if it is class-conditional, with a share of them hidden; else the
    conditions of the data; else None."""
    if training.label_dropout is not None:
        given = conditions.hidden(given, u < training.label_dropout)
    elif data.cond is None:
        return None
    return conditions.prepared(given, len(u), device)


def _where(
    losses: Tensor,
    t: Tensor,
    index: Tensor,
    gradient: float,
) -> str:
    """The samples, and their times, whose loss is not finite, for an error message."""
    bad = (~losses.cpu().isfinite()).nonzero().flatten()
    if not len(bad):
        return f"finite in every sample but with a gradient of norm {gradient}"
    levels = [round(v, 4) for v in check.values(t[bad[:5]])]
    return f"in {len(bad)} of {len(losses)} samples, at t = {levels}, rows {index[bad[:5]].tolist()} of the data"
