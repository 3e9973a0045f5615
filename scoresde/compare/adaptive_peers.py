"""Adaptive solvers of other libraries, in their released versions."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from .libraries import Model, Run, k_diffusion_sampling


def torchdiffeq(method: str, tolerance: float) -> Run:
    """A solver of torchdiffeq on dx/dlog s = x - D. Its error norm is taken over the whole batch.

    Args:
        method: torchdiffeq's name of its solver.
        tolerance: relative and absolute.
    """

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        library: Any = importlib.import_module("torchdiffeq")
        return library.odeint(
            lambda t, y: y - model(y, t.exp()),
            x,
            levels[[0, -1]].log(),
            rtol=tolerance,
            atol=tolerance,
            method=method,
        )[-1]

    return run


def torchode(method: str, tolerance: float) -> Run:
    """A solver of torchode on dx/dlam = D - x. Steps are chosen per sample; each call evaluates all samples.

    Args:
        method: class name of torchode's stepper.
        tolerance: relative and absolute.
    """

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        library: Any = importlib.import_module("torchode")
        term = library.ODETerm(lambda t, y: model(y.reshape(x.shape), torch.exp(-t)).reshape(y.shape) - y)
        stepper = getattr(library, method)(term=term)
        controller = library.IntegralController(atol=tolerance, rtol=tolerance, term=term)
        ends = -levels[[0, -1]].log().expand(len(x), 2)

        return (
            library.AutoDiffAdjoint(stepper, controller)
            .solve(library.InitialValueProblem(y0=x.reshape(len(x), -1), t_eval=ends))
            .ys[:, -1]
            .reshape(x.shape)
        )

    return run


def scipy(method: str, tolerance: float) -> Run:
    """A solver of scipy.integrate.solve_ivp on dx/dlog s = x - D. The whole batch is one vector.

    Args:
        method: solve_ivp's name of its solver.
        tolerance: relative and absolute.
    """

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        library: Any = importlib.import_module("scipy.integrate")

        def field(t: float, y: Any) -> Any:
            now = torch.from_numpy(y).reshape(x.shape)
            return (now - model(now, torch.tensor(t, dtype=x.dtype, device="cpu").exp())).flatten().numpy()

        ends = levels[[0, -1]].log().tolist()
        answer = library.solve_ivp(
            field,
            ends,
            x.flatten().numpy(),
            method=method,
            rtol=tolerance,
            atol=tolerance,
        )

        return torch.from_numpy(answer.y[:, -1]).reshape(x.shape)

    return run


def k_diffusion_adaptive(tolerance: float) -> Run:
    """k_diffusion.sampling.sample_dpm_adaptive. Its error norm is taken over the whole batch."""

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        ends = levels[-1].item(), levels[0].item()
        return k_diffusion_sampling().sample_dpm_adaptive(
            lambda y, s: model(y, s[0]),
            x,
            *ends,
            rtol=tolerance,
            atol=tolerance,
            disable=True,
        )

    return run
