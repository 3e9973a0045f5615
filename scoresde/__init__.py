"""scoresde: score-based generative modelling as numerics.

Three names are enough: a process (`VPSDE`), a `Denoiser` (a score network and what it predicts), and `sample`. Every
sampler is a combination of five choices: the process along which it integrates, the split of the equation, the solver,
the grid and eta. `catalogue` holds the published samplers by name. The package `solvers` does the numerics.
"""

from .runtime import beginning as beginning  # first: torch is imported by the next line

# isort: split
from . import moved
from .denoisers import exact as exact
from .denoisers.denoiser import X0 as X0
from .denoisers.denoiser import Denoiser as Denoiser
from .denoisers.denoiser import Eps as Eps
from .denoisers.denoiser import Score as Score
from .denoisers.denoiser import V as V
from .denoisers.moments import Moments as Moments
from .evaluation.doctor import doctor as doctor
from .evaluation.findings import Finding as Finding
from .processes import ddpm as ddpm
from .processes.base import Process as Process
from .processes.coordinates import EDM as EDM
from .processes.coordinates import Angle as Angle
from .processes.coordinates import LogSNR as LogSNR
from .processes.coordinates import UnitNoise as UnitNoise
from .processes.coordinates import Variance as Variance
from .processes.custom import CustomProcess as CustomProcess
from .processes.forward import VESDE as VESDE
from .processes.forward import VPSDE as VPSDE
from .processes.forward import CosineVP as CosineVP
from .processes.forward import RectifiedFlow as RectifiedFlow
from .processes.forward import SubVPSDE as SubVPSDE
from .samplers import catalogue as catalogue
from .samplers import grids as grids
from .samplers import sampling as sampling
from .samplers import wrappers as wrappers
from .samplers.frame import Frame as Frame
from .samplers.method import Method as Method
from .samplers.recommend import recommended as recommended
from .samplers.reverse import Split as Split
from .samplers.sampling import sample as sample
from .samplers.wrappers import langevin as langevin

steps = wrappers
moved.install()


def __getattr__(name: str) -> object:
    """Look up a module or a class by its old name, as in `scoresde.pipelines`; see `moved`."""
    if f"scoresde.{name}" in moved.MODULES:
        return moved.importlib.import_module(f"scoresde.{name}")
    return moved.today("scoresde", name)
