"""Samplers of other libraries in their released versions. Their own code makes the steps, at our noise levels.

A peer takes a model (x, s) -> x0 for x = x0 + s eps, a state at levels[0], and falling noise levels s. It returns the
state at the last level. If a library has a fixed table of noise levels, the table is replaced by ours in float64, which
can only help it. `absent` tells whether a library is not installed; `runner.tasks` leaves out its methods.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..runtime.torch_state import seeded
from ..samplers import grids
from ..samplers.grids import Grid
from .adaptive_peers import k_diffusion_adaptive, scipy, torchdiffeq, torchode
from .diffusers_peers import diffusers, diffusers_ddim, diffusers_sigma
from .libraries import Model, Run, k_diffusion_sampling
from .libraries import absent as absent


@dataclass(frozen=True)
class Peer:
    """One sampler of another library.

    name        library and sampler
    library     name of the Python distribution
    run         (model, x, levels, seed) -> x at the last level
    calls       model calls per step; 0 if it is adaptive
    stochastic  whether it draws noise
    grids       the grids on which it does well, as measured on shared problems; the first is its default
    """

    name: str
    library: str
    run: Run = field(repr=False)
    calls: int = 1
    stochastic: bool = False
    grids: tuple[Grid, ...] = (grids.karras, grids.uniform_lambda)

    def solve(
        self,
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int = 0,
    ) -> Tensor:
        """Run the sampler without gradients and warnings. The state of torch's global generator is restored.

        Args:
            model: (x, s) -> x0, for x = x0 + s eps.
            x: states at the first level, (B, ...).
            levels: noise levels s, falling, 1-D.
            seed: of torch's generators during the run.
        """
        with torch.no_grad(), seeded(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.run(model, x, levels, seed)


def k_diffusion(sampler: str, **options: Any) -> Run:
    """A sampler of k_diffusion.sampling, on noise levels that end above zero.

    Args:
        sampler: its name without the prefix sample_.
        options: arguments of the sampler.
    """

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        return getattr(k_diffusion_sampling(), f"sample_{sampler}")(
            lambda y, s: model(y, s[0]), x, levels, disable=True, **options
        )

    return run


@functools.cache
def _azula_denoiser() -> Any:
    """The class of an azula denoiser whose schedule is a table: time k/N is level N - k."""
    denoise = importlib.import_module("azula.denoise")
    noise = importlib.import_module("azula.noise")

    class Levels(noise.Schedule):
        def __init__(self, levels: Tensor):
            self.levels = levels.flip(0)

        def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
            sigma = self.levels[(t * (len(self.levels) - 1)).round().long()]
            return torch.ones_like(sigma), sigma

    class Wrapped(denoise.Denoiser):
        def __init__(self, model: Model, levels: Tensor):
            super().__init__()
            self.model = model
            self.schedule = Levels(levels)

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            return denoise.DiracPosterior(self.model(x_t, self.schedule(t)[1]))

    return Wrapped


def azula(sampler: str, **options: Any) -> Run:
    """The sampler azula.sample.<sampler>Sampler.

    Args:
        sampler: its name without the suffix Sampler.
        options: arguments of its constructor."""

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        made = getattr(importlib.import_module("azula.sample"), f"{sampler}Sampler")
        denoiser = _azula_denoiser()(model, levels)
        return made(denoiser, steps=len(levels) - 1, silent=True, dtype=torch.float64, **options)(x)

    return run


def torchsde(method: str) -> Run:
    """torchsde on the reverse SDE dx = 2 (D - x) dlam + sqrt(2) e^-lam dW, lam = -log s, in equal steps on any grid."""

    def run(
        model: Model,
        x: Tensor,
        levels: Tensor,
        seed: int,
    ) -> Tensor:
        library: Any = importlib.import_module("torchsde")

        class Reverse(torch.nn.Module):
            noise_type = "diagonal"
            sde_type = "ito"

            def f(self, t: Tensor, y: Tensor) -> Tensor:
                return 2 * (model(y.reshape(x.shape), torch.exp(-t)).reshape(y.shape) - y)

            def g(self, t: Tensor, y: Tensor) -> Tensor:
                return (2**0.5 * torch.exp(-t)).to(y).expand_as(y)

        ts = -levels[[0, -1]].log()
        flat = x.reshape(len(x), -1)
        path = library.BrownianInterval(
            ts[0],
            ts[1],
            size=flat.shape,
            device=x.device,
            dtype=x.dtype,
            entropy=seed,
            levy_area_approximation="space-time",
        )
        step = (ts[1] - ts[0]).item() / (len(levels) - 1) * (1 + 1e-9)  # avoids one more step by rounding

        return library.sdeint(
            Reverse(),
            flat,
            ts,
            bm=path,
            dt=step,
            method=method,
        )[-1].reshape(x.shape)

    return run


_ALL = (grids.karras, grids.uniform_lambda, grids.uniform_time, grids.quadratic)
_MULTISTEP = (grids.uniform_lambda, grids.quadratic, grids.karras)
_LAST: dict[str, Any] = {"final_sigmas_type": "sigma_min"}


def _named(
    library: str, entries: dict[str, tuple[Run, int, tuple[Grid, ...]]], stochastic: bool = False
) -> tuple[Peer, ...]:
    return tuple(
        Peer(
            f"{library}:{name}",
            library,
            run,
            calls,
            stochastic,
            levels,
        )
        for name, (run, calls, levels) in entries.items()
    )


# "_full" keeps the order in the last steps. As released, UniPC always lowers it there, and the others below 15 steps.
DETERMINISTIC: tuple[Peer, ...] = (
    *_named(
        "diffusers",
        {
            "ddim": (diffusers_ddim(), 1, _MULTISTEP),
            "euler": (diffusers_sigma("EulerDiscreteScheduler"), 1, _ALL),
            "heun": (diffusers_sigma("HeunDiscreteScheduler", 2), 2, _ALL),
            **{
                f"{name}{suffix}": (diffusers(scheduler, solver_order=order, **options, **ending), 1, levels)
                for suffix, ending in (("", {}), ("_full", {"lower_order_final": False}))
                for name, scheduler, order, options, levels in (
                    ("dpmpp_2m", "DPMSolverMultistepScheduler", 2, _LAST, _MULTISTEP),
                    ("dpmpp_3m", "DPMSolverMultistepScheduler", 3, _LAST, _MULTISTEP),
                    ("unipc_2", "UniPCMultistepScheduler", 2, _LAST, _MULTISTEP),
                    ("unipc_3", "UniPCMultistepScheduler", 3, _LAST, _MULTISTEP),
                    ("deis_2", "DEISMultistepScheduler", 2, {}, _MULTISTEP),
                    ("deis_3", "DEISMultistepScheduler", 3, {}, _MULTISTEP),
                )
            },
        },
    ),
    *_named(
        "k-diffusion",
        {
            "euler": (k_diffusion("euler"), 1, _ALL),
            "heun": (k_diffusion("heun"), 2, _ALL),
            "dpm_2": (k_diffusion("dpm_2"), 2, _ALL),
            "lms": (k_diffusion("lms"), 1, _ALL),
            "dpmpp_2m": (k_diffusion("dpmpp_2m"), 1, _MULTISTEP),
            "dpmpp_2s": (k_diffusion("dpmpp_2s_ancestral", eta=0.0), 2, _MULTISTEP),
        },
    ),
    *_named(
        "azula",
        {
            "ddim": (azula("DDIM"), 1, _MULTISTEP),
            "heun": (azula("Heun"), 2, _ALL),
            **{
                f"{kind}_{order}": (azula(kind, order=order), 1, _MULTISTEP)
                for kind in ("zAB", "vAB", "zEAB", "xEAB")
                for order in (2, 3)
            },
        },
    ),
)

STOCHASTIC: tuple[Peer, ...] = (
    *_named(
        "diffusers",
        {
            "ddim_eta1": (diffusers_ddim(1.0), 1, _MULTISTEP),
            "dpmpp_2m_sde": (
                diffusers("DPMSolverMultistepScheduler", solver_order=2, algorithm_type="sde-dpmsolver++", **_LAST),
                1,
                _MULTISTEP,
            ),
        },
        stochastic=True,
    ),
    *_named(
        "k-diffusion",
        {
            "euler_ancestral": (k_diffusion("euler_ancestral"), 1, _ALL),
            "dpmpp_2s_ancestral": (k_diffusion("dpmpp_2s_ancestral"), 2, _MULTISTEP),
            "dpmpp_sde": (k_diffusion("dpmpp_sde"), 2, _MULTISTEP),
            "dpmpp_2m_sde": (k_diffusion("dpmpp_2m_sde"), 1, _MULTISTEP),
            "dpmpp_3m_sde": (k_diffusion("dpmpp_3m_sde"), 1, _MULTISTEP),
        },
        stochastic=True,
    ),
    *_named("azula", {"ddpm": (azula("DDPM"), 1, _MULTISTEP), "ito": (azula("Ito"), 1, _ALL)}, stochastic=True),
    *_named(
        "torchsde",
        {
            "euler": (torchsde("euler"), 1, (grids.uniform_lambda,)),
            "srk": (torchsde("srk"), 10, (grids.uniform_lambda,)),
        },
        stochastic=True,
    ),
)


def adaptive(tolerance: float) -> tuple[Peer, ...]:
    """The adaptive solvers, with rtol = atol = tolerance. They use only the first and the last noise level."""
    runs = {
        "torchdiffeq": {"dopri5": torchdiffeq("dopri5", tolerance), "bosh3": torchdiffeq("bosh3", tolerance)},
        "torchode": {"dopri5": torchode("Dopri5", tolerance), "tsit5": torchode("Tsit5", tolerance)},
        "scipy": {
            "RK45": scipy("RK45", tolerance),
            "DOP853": scipy("DOP853", tolerance),
            "LSODA": scipy("LSODA", tolerance),
        },
        "k-diffusion": {"dpm_adaptive": k_diffusion_adaptive(tolerance)},
    }
    return tuple(
        peer
        for library, each in runs.items()
        for peer in _named(library, {name: (run, 0, (grids.uniform_lambda,)) for name, run in each.items()})
    )
