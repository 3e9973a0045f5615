"""Adapters: integrators of other libraries for use with `solvers.solve`. A library is imported when it is used."""

from .base import Adapter as Adapter
from .scipy import SciPy as SciPy
from .torchdiffeq import TorchDiffEq as TorchDiffEq
from .torchsde import TorchSDE as TorchSDE
