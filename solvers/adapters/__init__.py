"""Other libraries' integrators behind `solvers.solve`; each library is imported when it is used."""

from .base import Adapter as Adapter
from .scipy import SciPy as SciPy
from .torchdiffeq import TorchDiffEq as TorchDiffEq
from .torchsde import TorchSDE as TorchSDE
