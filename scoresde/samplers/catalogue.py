"""Published samplers by name. Each function returns a `Method`: a choice of (process, split, solver, grid, n, eta).

n is the number of noise levels: n - 1 steps and one final denoise. A method with one network call per step therefore
makes n calls. The functions are defined in `samplers.published`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from . import grids as grids
from .method import Method
from .published import chains, elsewhere, flow, single_step
from .published.chains import annealed_langevin as annealed_langevin
from .published.chains import ddim as ddim
from .published.chains import ddpm as ddpm
from .published.chains import euler_ancestral as euler_ancestral
from .published.chains import euler_maruyama as euler_maruyama
from .published.chains import improved_ddpm as improved_ddpm
from .published.chains import predictor_corrector as predictor_corrector
from .published.chains import reverse_diffusion as reverse_diffusion
from .published.chains import sra1 as sra1
from .published.elsewhere import scipy as scipy
from .published.elsewhere import torchdiffeq as torchdiffeq
from .published.elsewhere import torchsde as torchsde
from .published.flow import best as best
from .published.flow import deis as deis
from .published.flow import dpm_solver_pp_2m as dpm_solver_pp_2m
from .published.flow import dpm_solver_pp_3m as dpm_solver_pp_3m
from .published.flow import er_sde as er_sde
from .published.flow import euler as euler
from .published.flow import exp_adams as exp_adams
from .published.flow import ipndm as ipndm
from .published.flow import lms as lms
from .published.flow import pndm as pndm
from .published.flow import probability_flow as probability_flow
from .published.flow import sa_solver as sa_solver
from .published.flow import unipc as unipc
from .published.single_step import dpm_solver_1 as dpm_solver_1
from .published.single_step import dpm_solver_2 as dpm_solver_2
from .published.single_step import dpm_solver_3 as dpm_solver_3
from .published.single_step import dpm_solver_pp_2s as dpm_solver_pp_2s
from .published.single_step import edm_heun as edm_heun
from .published.single_step import edm_stochastic as edm_stochastic
from .published.single_step import restart as restart

GRIDS: dict[str, grids.Grid] = {
    "karras": grids.karras,
    "lambda": grids.uniform_lambda,
    "time": grids.uniform_time,
    "quadratic": grids.quadratic,
}  # by the name that follows the @ in the name of a method, as in unipc@quadratic


def all_methods() -> dict[str, Callable[..., Method]]:
    """All methods by name, in the order of their files."""
    return {
        name: make
        for module in (chains, single_step, flow, elsewhere)
        for name, make in vars(module).items()
        if inspect.isfunction(make) and make.__module__ == module.__name__
    }


def fixed_step_methods() -> dict[str, Callable[..., Method]]:
    """All methods whose first argument is n, by name (for the command line)."""
    return {name: make for name, make in all_methods().items() if next(iter(inspect.signature(make).parameters)) == "n"}
