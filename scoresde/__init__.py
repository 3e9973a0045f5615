"""scoresde: score-based generative modelling as numerics.

Three names are enough: a process (`VPSDE`), a `Denoiser` (a score network and what it predicts), and `sample`. Every sampler is
a point (process integrated along, split, solver, grid, eta); `catalogue` names the published ones, `solvers` does the numerics.
"""

from . import beginning as beginning  # first: torch is imported by the next line
from . import catalogue as catalogue
from . import ddpm as ddpm
from . import exact as exact
from . import grids as grids
from . import langevin as langevin
from . import sampling as sampling
from . import steps as steps
from .charts import EDM as EDM
from .charts import Angle as Angle
from .charts import LogSNR as LogSNR
from .charts import UnitNoise as UnitNoise
from .charts import Variance as Variance
from .denoiser import X0 as X0
from .denoiser import Denoiser as Denoiser
from .denoiser import Eps as Eps
from .denoiser import Score as Score
from .denoiser import V as V
from .doctor import Finding as Finding
from .doctor import doctor as doctor
from .frame import Frame as Frame
from .method import Method as Method
from .moments import Moments as Moments
from .own import OwnProcess as OwnProcess
from .process import Process as Process
from .recommend import recommended as recommended
from .reverse import Split as Split
from .sampling import sample as sample
from .schedules import VESDE as VESDE
from .schedules import VPSDE as VPSDE
from .schedules import CosineVP as CosineVP
from .schedules import RectifiedFlow as RectifiedFlow
from .schedules import SubVPSDE as SubVPSDE
