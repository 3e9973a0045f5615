"""A solve that is driven from outside: the model calls that a method makes, in order, are answered by the caller."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from solvers import SeededNoise, Solver, check
from solvers.edges import bind
from solvers.reverse_communication import Oracle, driven

from ..denoisers.denoiser import Denoiser
from ..processes.coefficients import like
from ..processes.ddpm import DiscreteVP
from ..samplers.grids import ExplicitGrid
from ..samplers.method import Method
from ..samplers.plan import Plan

NEAR = 1e-3  # timesteps that differ by at most this are equal


class ExternalNetwork(nn.Module):
    """A network whose outputs are supplied by the caller."""

    def __init__(self, answers: Oracle):
        super().__init__()
        self.answers = answers

    def forward(self, x: Tensor, c_noise: Tensor, cond: Any = None) -> Tensor:
        return self.answers(x, c_noise[0])


def method_of(
    make: Callable[..., Method],
    name: str,
    value: Any,
    chain: DiscreteVP,
) -> Method:
    """The method with n levels, or with the given levels.

    Args:
        make: n levels -> Method.
        name: what value is: num_inference_steps, timesteps or sigmas.
        value: number of levels, or the falling levels themselves.
        chain: the chain to which timesteps refer.

    Raises:
        TypeError, ValueError: naming `name` or `make`.
    """

    if name == "num_inference_steps":
        method = make(check.integer(name, value))
    else:
        lams = _listed(name, value, chain)

        if "grid" not in inspect.signature(make).parameters:
            raise ValueError(
                f"`{name}` must be left out: `make` takes no grid, got {make!r}; catalogue.ddim and others do"
            )

        method = make(len(lams), grid=ExplicitGrid(lams))

    if not isinstance(method, Method) or method.calls is None:
        raise ValueError(
            f"`make` must give a method of a known number of calls, got {method!r}; neither an adaptive one"
            " nor another library's"
        )
    if method.frame is not None:
        raise ValueError(
            "`make` must give a method without a frame, whose first call is not at the loop's own state,"
            f" got {method!r}; catalogue.best"
        )

    return method


def _listed(name: str, value: Any, chain: DiscreteVP) -> tuple[float, ...]:
    """Levels lam, rising, from falling timesteps or sigmas."""
    values = torch.tensor([check.number(name, float(v), least=0.0) for v in value], dtype=torch.float64, device="cpu")

    if name == "sigmas":
        values = values[:-1] if len(values) > 1 and float(values[-1]) == 0.0 else values
        lams = -values.log()
    else:
        lams = chain.lam((values + 1) / chain.steps)

    if not len(lams) or not bool((lams.diff() > 0).all()) or not bool(lams[1:].isfinite().all()):
        raise ValueError(f"`{name}` must fall strictly, got {values.tolist()!r:.80}")

    return tuple(check.values(lams))


def timesteps_asked(
    denoiser: Denoiser,
    method: Method,
    lams: Tensor,
    answers: Oracle,
) -> list[float]:
    """The timesteps at which a whole run calls its network, in order.

    Args:
        denoiser: a denoiser with an `ExternalNetwork`.
        method: a method on a fixed grid.
        lams: lam of its levels.
        answers: the oracle that supplies the outputs of the network.
    """
    asked: list[float] = []
    answer = torch.zeros(1, denoiser.table.outputs, device="cpu")

    with torch.no_grad():
        run = questions(denoiser, method, lams, torch.zeros(1, 1, device="cpu"), SeededNoise(0), answers)
        question = next(run)

        while True:
            asked.append(float(question[1]))
            try:
                question = run.send(answer)
            except StopIteration:
                return asked


def questions(
    denoiser: Denoiser,
    method: Method,
    lams: Tensor,
    x: Tensor,
    noise: Any,
    answers: Oracle,
) -> Generator[tuple[Any, ...], Any, Tensor]:
    """A run from a state of the chain. The generator yields (model input, c_noise) for each model call, is sent the
    output, and returns x0.

    Args:
        denoiser: a denoiser with an `ExternalNetwork`.
        method: a method on a fixed grid.
        lams: lam of the levels, the first one that of x.
        x: the state, (B, ...).
        noise: source of the method's noise.
        answers: the oracle that supplies the outputs of the network.
    """

    plan = Plan(
        denoiser,
        method,
        None,
        lams,
        x,
        noise,
    )
    along = method.process
    t = plan.times[0]
    x = x * like((along.alpha(t) ** 2 + along.sigma(t) ** 2).sqrt(), x)
    solver = cast(Solver, plan.solver)

    for eq, steps in plan.segments:
        times = cast(Tensor, steps)
        path = bind(eq, solver, times, x, None if eq.g is None else plan.noise)
        x = yield from driven(
            eq,
            x,
            solver,
            times,
            path,
            answers,
        )

    return (yield from answers.run(partial(plan.end, x, True)))


def beginning(
    timestep: Any,
    timesteps: Tensor,
    starts: list[int],
    begin_index: int | None,
) -> int:
    """The index of the timestep at which a run begins.

    Args:
        timestep: the timestep given by the caller.
        timesteps: all timesteps of the run.
        starts: indices at which a run may begin.
        begin_index: the index to take if several timesteps are equal; None: the first of them.

    Raises:
        ValueError: naming `timestep`, or naming `sample` if a run can begin nowhere.
    """

    if not starts:
        raise ValueError(
            "`sample` must be what the step before returned: a solver that is within a step cannot take another"
        )

    near = [k for k in starts if abs(float(timesteps[k]) - float(timestep)) <= NEAR]
    if near:
        return begin_index if begin_index in near else near[0]

    if len(starts) == 1:
        raise ValueError(
            f"`timestep` must be {float(timesteps[starts[0]]):g}, the next in turn, got {float(timestep):g}"
        )

    raise ValueError(
        f"`timestep` must be one that begins a step, of {timesteps[starts].tolist()}, got {float(timestep):g}"
    )


def check_output(output: Any, sample: Tensor, outputs: int) -> None:
    """Raise TypeError or ValueError naming `model_output` if it cannot be the network's output for the sample.

    Args:
        output: the value given as output of the network.
        sample: the model's input, (B, C, ...).
        outputs: outputs for each element of x, 1 or 2.
    """

    channels = [count * outputs for count in sample.shape[1:2]]
    wanted = (len(sample), *channels, *sample.shape[2:])

    if tuple(check.floating("model_output", output).shape) != wanted:
        raise ValueError(
            f"`model_output` must have the shape {wanted} for a sample of shape {tuple(sample.shape)}, got"
            f" {tuple(output.shape)}"
        )
